/** A model in GGUF. */
import type { Model } from "../weights.ts";
import { bytesOf, joined } from "./bytes.ts";
import { namedArrays } from "./named_arrays.ts";
import { TINY_PIECES } from "./tiny_model.ts";

/** Type numbers of values of GGUF. */
const U32 = 4, F32 = 6, STRING = 8, ARRAY = 9, I32 = 5;

/**
 * GGUF in f32, f16 or q8_0 (matrices; norms stay f32), with the tiny tokenizer, and divisors of the
 * frequencies if there are any.
 */
export function ggufFile(
  model: Model,
  type: "f32" | "f16" | "q8_0" = "f32",
  divisors?: Float32Array,
): Uint8Array<ArrayBuffer> {
  const { shape } = model;
  const arrays = namedArrays(
    model,
    ["token_embd.weight", "output_norm.weight", "output.weight", "blk.N."],
    {
      attentionNorm: "attn_norm",
      wq: "attn_q",
      wk: "attn_k",
      wv: "attn_v",
      wo: "attn_output",
      feedForwardNorm: "ffn_norm",
      gate: "ffn_gate",
      up: "ffn_up",
      down: "ffn_down",
    },
  );
  if (divisors) {
    arrays.push({ name: "rope_freqs.weight", shape: [divisors.length], values: divisors });
  }
  const pieces = TINY_PIECES.map((piece) => piece.replaceAll(" ", "▁"));
  const kinds = TINY_PIECES.map((piece, i) => i === 0 ? 2 : i < 3 ? 3 : /^<0x/.test(piece) ? 6 : 1);
  const metadata: [string, number, Uint8Array][] = [
    ["general.architecture", STRING, text("llama")],
    ...Object.entries({
      block_count: shape.layers,
      embedding_length: shape.dim,
      feed_forward_length: shape.hidden,
      "attention.head_count": shape.heads,
      "attention.head_count_kv": shape.kvHeads,
      "attention.key_length": shape.headDim,
      context_length: shape.context,
    }).map(([name, n]): [string, number, Uint8Array] => [`llama.${name}`, U32, u32(n)]),
    ["llama.attention.layer_norm_rms_epsilon", F32, bytesOf(Float32Array.of(model.normEpsilon))],
    ["tokenizer.ggml.model", STRING, text("llama")],
    [
      "tokenizer.ggml.tokens",
      ARRAY,
      joined([u32(STRING), u64(pieces.length), ...pieces.map(text)]),
    ],
    [
      "tokenizer.ggml.scores",
      ARRAY,
      joined([u32(F32), u64(pieces.length), bytesOf(Float32Array.from(pieces, (_, i) => -i))]),
    ],
    [
      "tokenizer.ggml.token_type",
      ARRAY,
      joined([u32(I32), u64(pieces.length), bytesOf(Int32Array.from(kinds))]),
    ],
  ];
  const numbers = { f32: 0, f16: 1, q8_0: 8 }, places: Uint8Array[] = [], data: Uint8Array[] = [];
  let at = 0;
  for (const { name, shape: sizes, values } of arrays) {
    const stored = sizes.length === 1 ? "f32" : type;
    const bytes = stored === "f32"
      ? bytesOf(values)
      : stored === "f16"
      ? bytesOf(Float16Array.from(values))
      : blocksOf(values);
    const axes = sizes.toReversed();
    places.push(text(name), u32(axes.length), ...axes.map(u64), u32(numbers[stored]), u64(at));
    data.push(bytes, new Uint8Array(-bytes.length & 31));
    at += bytes.length + (-bytes.length & 31);
  }
  const head = joined([
    new TextEncoder().encode("GGUF"),
    u32(3),
    u64(arrays.length),
    u64(metadata.length),
    ...metadata.flatMap(([name, kind, value]) => [text(name), u32(kind), value]),
    ...places,
  ]);
  return joined([head, new Uint8Array(-head.length & 31), ...data]);
}

function u32(n: number): Uint8Array {
  return bytesOf(Int32Array.of(n));
}

function u64(n: number): Uint8Array {
  return bytesOf(Int32Array.of(n, 0));
}

function text(string: string): Uint8Array {
  const bytes = new TextEncoder().encode(string);
  return joined([u64(bytes.length), bytes]);
}

/** Blocks of 32 numbers: a scale in f16, and what of it each is, in a byte. */
function blocksOf(values: Float32Array): Uint8Array {
  const blocks = new Uint8Array(values.length / 32 * 34), view = new DataView(blocks.buffer);
  for (let block = 0; block < values.length / 32; block++) {
    const part = values.subarray(block * 32, block * 32 + 32);
    const scale = Math.max(...part.map(Math.abs)) / 127;
    view.setFloat16(block * 34, scale, true);
    const stored = view.getFloat16(block * 34, true);
    part.forEach((x, i) => view.setInt8(block * 34 + 2 + i, Math.round(x / stored)));
  }
  return blocks;
}
