/** A small random model and a tokenizer of bytes. */
import { Random } from "../../byte_lm/random.ts";
import { ScoreTokenizer } from "../score_tokenizer.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { layerSizes, type Model, type ModelShape, rotaryFrequencies } from "../weights.ts";

/** Marks of the tokenizer: unknown, beginning, end. */
const MARKS = ["<unk>", "<s>", "</s>"];

export const TINY: ModelShape = {
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  dim: 32,
  hidden: 64,
  vocabulary: MARKS.length + 256 + 4,
  context: 128,
};

/** Random weights of any shape. */
export function randomModel(shape: ModelShape = TINY, seed = 1, sharedClassifier = true): Model {
  const random = new Random(seed);
  const normal = (count: number, deviation: number): Float32Array =>
    Float32Array.from({ length: count }, () => random.normal(deviation));
  const gain = (count: number): Float32Array => normal(count, 0.1).map((x) => 1 + x);
  const { dim, hidden, vocabulary, headDim } = shape, sizes = layerSizes(shape);
  const scale = dim ** -0.5, embedding = normal(vocabulary * dim, 1);
  return {
    shape,
    rotary: { interleaved: true, frequencies: rotaryFrequencies(headDim, 10000) },
    normEpsilon: 1e-5,
    weights: {
      embedding,
      layers: Array.from({ length: shape.layers }, () => ({
        attentionNorm: gain(dim),
        wq: normal(sizes.wq, 2 * scale), // peaked enough that what is attended to matters
        wk: normal(sizes.wk, 2 * scale),
        wv: normal(sizes.wv, scale),
        wo: normal(sizes.wo, scale),
        feedForwardNorm: gain(dim),
        gate: normal(sizes.gate, scale),
        up: normal(sizes.up, scale),
        down: normal(sizes.down, hidden ** -0.5),
      })),
      norm: gain(dim),
      classifier: sharedClassifier ? embedding : normal(vocabulary * dim, scale),
    },
  };
}

/** Pieces of {@linkcode tinyTokenizer}: marks, bytes, and a few that are joined. */
export const TINY_PIECES: readonly string[] = [
  ...MARKS,
  ...Array.from({ length: 256 }, (_, byte) => {
    return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
  }),
  ..." ,t,h, t".split(","),
];

/** A tokenizer with a token for each byte; it never ends a text by itself unless `stops` are given. */
export function tinyTokenizer(stops: number[] = []): Tokenizer {
  const encoder = new TextEncoder();
  return new ScoreTokenizer({
    pieces: TINY_PIECES.map((piece) => encoder.encode(piece)),
    scores: Float32Array.from(TINY_PIECES, (_, token) => -token),
    isText: (token) => token >= MARKS.length,
    begin: 1,
    stops,
    prefixSpace: true,
  });
}
