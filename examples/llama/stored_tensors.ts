/** Tensors of a file by their names, and the model that is made of them. */
import { shown } from "./byte_source.ts";
import type { Stored } from "./numbers.ts";
import {
  checkShape,
  layerSizes,
  type LayerWeights,
  type Model,
  type ModelShape,
  type RotaryForm,
} from "./weights.ts";

/** Where a tensor of a file is, and what it holds. */
export interface TensorPlace {
  /** The slowest axis first. */
  readonly shape: readonly number[];
  /** A type that can be read, or the name of another. */
  readonly type: Stored | (string & Record<never, never>);
  read(): Promise<Float32Array>;
}

export type StoredTensors = ReadonlyMap<string, TensorPlace>;

/** What a kind of file calls the arrays of a model. */
export interface TensorNames extends Readonly<Record<keyof LayerWeights, string>> {
  readonly embedding: string;
  readonly norm: string;
  readonly classifier: string;
  layer(layer: number, name: string): string;
}

/** What a file says of its model. */
export interface ModelDescription {
  shape: ModelShape;
  rotary: RotaryForm;
  normEpsilon: number;
}

const READABLE: readonly string[] = ["f32", "f16", "bf16", "q8_0"];

/**
 * Finds every array of a model among the tensors of a file and reads it. All are looked for, and
 * their sizes compared, before the first is read.
 */
export async function assembleModel(
  name: string,
  { shape, rotary, normEpsilon }: ModelDescription,
  names: TensorNames,
  tied: boolean,
  tensors: StoredTensors,
): Promise<Model> {
  checkShape(name, shape);
  const find = (tensor: string, count: number): TensorPlace => {
    const place = tensors.get(tensor);
    const fail = (what: string): never => {
      throw new RangeError(`Cannot read ${name}: ${what}`);
    };
    if (!place) return fail(`it has no tensor ${tensor}, which models of Llama architecture have`);
    if (!READABLE.includes(place.type)) {
      fail(`${tensor} is stored as ${shown(place.type)}; f32, f16, bf16 and q8_0 can be read`);
    }
    if (place.shape.reduce((product, n) => product * n, 1) !== count) {
      fail(
        `${tensor} is of ${
          shown(place.shape)
        }, but the sizes of the model ask for ${count} numbers`,
      );
    }
    return place;
  };
  const table = shape.vocabulary * shape.dim, sizes = Object.entries(layerSizes(shape));
  const embedding = find(names.embedding, table), norm = find(names.norm, shape.dim);
  const classifier = tied ? undefined : find(names.classifier, table);
  const layers = Array.from(
    { length: shape.layers },
    (_, layer) =>
      sizes.map(([part, size]) =>
        [part, find(names.layer(layer, names[part as keyof LayerWeights]), size)] as const
      ),
  );

  const embeddingValues = await embedding.read();
  const layerValues: LayerWeights[] = [];
  for (const parts of layers) {
    const values: Partial<LayerWeights> = {};
    for (const [part, place] of parts) values[part as keyof LayerWeights] = await place.read();
    layerValues.push(values as LayerWeights);
  }
  return {
    shape,
    rotary,
    normEpsilon,
    weights: {
      embedding: embeddingValues,
      layers: layerValues,
      norm: await norm.read(),
      classifier: await classifier?.read() ?? embeddingValues,
    },
  };
}
