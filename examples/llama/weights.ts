/** What a model of Llama architecture is made of, whichever file it came from. */

/** Sizes. Channels of q are `heads · headDim`, of k and v `kvHeads · headDim`. */
export interface ModelShape {
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Channels between layers. */
  dim: number;
  /** Channels inside of a feed-forward part. */
  hidden: number;
  vocabulary: number;
  /** Tokens that the model was trained to read at once. */
  context: number;
}

/** How positions turn the channels of q and k. */
export interface RotaryForm {
  /** Whether a pair is two neighbours (Meta, llama2.c, GGUF) or a channel of each half (Hugging Face). */
  interleaved: boolean;
  /** Radians a position, one for each pair. */
  frequencies: Float64Array;
}

/** One layer. Matrices are row-major, [outputs, inputs]. */
export interface LayerWeights {
  attentionNorm: Float32Array;
  wq: Float32Array;
  wk: Float32Array;
  wv: Float32Array;
  wo: Float32Array;
  feedForwardNorm: Float32Array;
  gate: Float32Array;
  up: Float32Array;
  down: Float32Array;
}

export interface Weights {
  /** [vocabulary, dim] */
  embedding: Float32Array;
  layers: LayerWeights[];
  norm: Float32Array;
  /** [vocabulary, dim]; the embedding itself where the two are shared. */
  classifier: Float32Array;
}

/** A model without its tokenizer. */
export interface Model {
  shape: ModelShape;
  weights: Weights;
  rotary: RotaryForm;
  normEpsilon: number;
}

/** Numbers in each array of a layer. */
export function layerSizes(shape: ModelShape): Record<keyof LayerWeights, number> {
  const { dim, hidden, heads, kvHeads, headDim } = shape;
  return {
    attentionNorm: dim,
    wq: heads * headDim * dim,
    wk: kvHeads * headDim * dim,
    wv: kvHeads * headDim * dim,
    wo: dim * heads * headDim,
    feedForwardNorm: dim,
    gate: hidden * dim,
    up: hidden * dim,
    down: dim * hidden,
  };
}

/** Larger than any of the sizes of a model: a header with more is not one, or damaged. */
const LARGEST = 2 ** 24;

/** Complains of sizes that no model has, before anything is allocated for them. */
export function checkShape(name: string, shape: ModelShape): void {
  const fail = (what: string): never => {
    throw new RangeError(`Cannot read ${name}: ${what}`);
  };
  for (const [size, value] of Object.entries(shape)) {
    if (!Number.isInteger(value) || value < 1 || value > LARGEST) {
      fail(`it says that ${size} is ${value}, which no model has`);
    }
  }
  const { heads, kvHeads, headDim } = shape;
  if (heads % kvHeads !== 0) fail(`${kvHeads} key heads cannot be shared by ${heads} query heads`);
  if (headDim % 2 !== 0) fail(`heads of ${headDim} channels cannot be turned in pairs`);
}

/** Frequencies of rotary positions: `base^(−2i / headDim)` (Su et al., 2021). */
export function rotaryFrequencies(headDim: number, base: number): Float64Array {
  return Float64Array.from({ length: headDim / 2 }, (_, pair) => base ** (-2 * pair / headDim));
}
