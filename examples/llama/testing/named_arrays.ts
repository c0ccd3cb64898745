import type { LayerWeights, Model } from "../weights.ts";

/** What is stored of a model under the names of Hugging Face or llama.cpp, slowest axis first. */
export interface NamedArray {
  name: string;
  shape: number[];
  values: Float32Array;
}

/** All arrays of a model by their names in a kind of file; N in `layer` stands for its number. */
export function namedArrays(
  { shape, weights }: Model,
  [embedding, norm, classifier, layer]: readonly [string, string, string, string],
  names: Readonly<Record<keyof LayerWeights, string>>,
): NamedArray[] {
  const { dim, vocabulary } = shape;
  const shared = weights.classifier === weights.embedding;
  return [
    { name: embedding, shape: [vocabulary, dim], values: weights.embedding },
    { name: norm, shape: [dim], values: weights.norm },
    ...(shared ? [] : [{ name: classifier, shape: [vocabulary, dim], values: weights.classifier }]),
    ...weights.layers.flatMap((arrays, i) =>
      Object.entries(arrays).map(([part, values]: [string, Float32Array]) => {
        const inputs = part === "down"
          ? shape.hidden
          : part === "wo"
          ? shape.heads * shape.headDim
          : dim;
        return {
          name: `${layer.replace("N", `${i}`)}${names[part as keyof LayerWeights]}.weight`,
          shape: part.endsWith("Norm") ? [dim] : [values.length / inputs, inputs],
          values,
        };
      })
    ),
  ];
}
