/** A model as a checkpoint of llama2.c, and its tokenizer. */
import type { LayerWeights, Model } from "../weights.ts";
import { bytesOf, joined } from "./bytes.ts";
import { TINY_PIECES } from "./tiny_model.ts";

/** A checkpoint of llama2.c, with the legacy header or that of version 1. */
export function llama2cFile(
  { shape, weights }: Model,
  version: 0 | 1 = 0,
): Uint8Array<ArrayBuffer> {
  const { dim, hidden, layers, heads, kvHeads, headDim, vocabulary, context } = shape;
  const shared = weights.classifier === weights.embedding;
  const signed = shared || version === 1 ? vocabulary : -vocabulary;
  const sizes = Int32Array.of(dim, hidden, layers, heads, kvHeads, signed, context);
  const of = (...names: (keyof LayerWeights)[]) =>
    names.flatMap((name) => weights.layers.map((layer) => layer[name]));
  const own = shared ? [] : [weights.classifier];
  if (version === 1) {
    const header = new Uint8Array(256);
    header.set(bytesOf(Int32Array.of(0x616b3432, 1)));
    header.set(bytesOf(sizes), 8);
    header[36] = Number(shared);
    const norms = [...of("attentionNorm", "feedForwardNorm"), weights.norm, weights.embedding];
    const rest = of("wq", "wk", "wv", "wo", "gate", "down", "up");
    return joined([header, ...[...norms, ...rest, ...own].map(bytesOf)]);
  }
  const arrays = [
    weights.embedding,
    ...of("attentionNorm", "wq", "wk", "wv", "wo", "feedForwardNorm", "gate", "down", "up"),
    weights.norm,
    new Float32Array(context * headDim),
    ...own,
  ];
  return joined([bytesOf(sizes), ...arrays.map(bytesOf)]);
}

/** The pieces of the tiny tokenizer as llama2.c writes them. */
export function llama2cTokenizerFile(): Uint8Array<ArrayBuffer> {
  const pieces = TINY_PIECES.map((piece) => new TextEncoder().encode(piece));
  const longest = Math.max(...pieces.map(({ length }) => length));
  return joined([
    bytesOf(Int32Array.of(longest)),
    ...pieces.flatMap((piece, token) => [
      bytesOf(Float32Array.of(-token)),
      bytesOf(Int32Array.of(piece.length)),
      piece,
    ]),
  ]);
}
