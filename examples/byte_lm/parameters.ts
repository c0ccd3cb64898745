import type { Random } from "./random.ts";

/** Sizes of the model. Channels of q are `heads · headDim`, of k and v `kvHeads · headDim`. */
export interface ModelShape {
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  dim: number;
  /** Longest text the model reads at once, in bytes. */
  context: number;
}

/** Possible bytes. */
export const VOCABULARY = 256;

/** One learned array and the gradient collected for it. */
export interface Parameter {
  name: string;
  value: Float32Array;
  gradient: Float32Array;
}

export interface LayerParameters {
  gain: Parameter;
  wq: Parameter;
  wk: Parameter;
  wv: Parameter;
  wo: Parameter;
}

export interface ModelParameters {
  embedding: Parameter;
  layers: LayerParameters[];
  gain: Parameter;
  output: Parameter;
  outputBias: Parameter;
}

/** Random start: every product keeps the size of its input, and the output begins near uniform. */
export function initialParameters(
  shape: ModelShape,
  random: Random,
): ModelParameters {
  const { dim, heads, kvHeads, headDim } = shape;
  const normal = (name: string, size: number, deviation: number): Parameter =>
    parameter(
      name,
      Float32Array.from({ length: size }, () => random.normal(deviation)),
    );
  const ones = (name: string): Parameter => parameter(name, new Float32Array(dim).fill(1));
  const qDim = heads * headDim, kvDim = kvHeads * headDim;
  return {
    embedding: normal("embedding", VOCABULARY * dim, 0.5),
    layers: Array.from({ length: shape.layers }, (_, layer) => ({
      gain: ones(`layer ${layer} gain`),
      wq: normal(`layer ${layer} wq`, dim * qDim, dim ** -0.5),
      wk: normal(`layer ${layer} wk`, dim * kvDim, dim ** -0.5),
      wv: normal(`layer ${layer} wv`, dim * kvDim, dim ** -0.5),
      wo: normal(`layer ${layer} wo`, qDim * dim, 0.5 * qDim ** -0.5),
    })),
    gain: ones("gain"),
    output: normal("output", dim * VOCABULARY, 0.1 * dim ** -0.5),
    outputBias: parameter("output bias", new Float32Array(VOCABULARY)),
  };
}

/** All parameters in one list, as the optimiser wants them. */
export function listParameters(parameters: ModelParameters): Parameter[] {
  const { embedding, layers, gain, output, outputBias } = parameters;
  return [
    embedding,
    ...layers.flatMap((layer) => Object.values(layer)),
    gain,
    output,
    outputBias,
  ];
}

function parameter(name: string, value: Float32Array): Parameter {
  return { name, value, gradient: new Float32Array(value.length) };
}
