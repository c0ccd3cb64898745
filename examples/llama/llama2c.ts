/** Reads checkpoints of llama2.c (https://github.com/karpathy/llama2.c): float32, legacy header or version 1. */
import { type ByteSource, readBytes } from "./byte_source.ts";
import {
  checkShape,
  layerSizes,
  type LayerWeights,
  type Model,
  type ModelShape,
  rotaryFrequencies,
  type Weights,
} from "./weights.ts";

/** First four bytes of headers with a version, as a number. */
export const VERSIONED_MAGIC = 0x616b3432;
const LEGACY_HEADER = 28, VERSIONED_HEADER = 256;
const NORM_EPSILON = 1e-5, ROTARY_BASE = 10000;

interface Header {
  shape: ModelShape;
  shared: boolean;
  /** Where the weights begin. */
  bytes: number;
  version: 0 | 1;
}

/** What lies in a file, in its order: an array of the model, of each layer, or numbers to skip. */
type Part =
  | { of: "layers"; name: keyof LayerWeights }
  | { of: "model"; name: "embedding" | "norm" | "classifier" }
  | { of: "nothing"; count: number };

/** Reads header and weights. Sizes are compared with the file before anything is allocated. */
export async function readLlama2c(source: ByteSource): Promise<Model> {
  const header = await readHeader(source);
  const { shape } = header;
  const parts = partsOf(header), expected = header.bytes + 4 * countOf(parts, shape);
  if (source.size !== expected) {
    const { dim, hidden, layers, vocabulary, context } = shape;
    throw new RangeError(
      `Cannot read ${source.name}: it holds ${source.size} bytes, but its header (dim ${dim}, ` +
        `hidden ${hidden}, ${layers} layers, vocabulary ${vocabulary}, context ${context}) needs ` +
        `${expected}: it is ${source.size < expected ? "cut short" : "too long"}, ` +
        `or not a checkpoint of llama2.c`,
    );
  }
  return {
    shape,
    weights: await readWeights(source, header.bytes, parts, shape),
    rotary: { interleaved: true, frequencies: rotaryFrequencies(shape.headDim, ROTARY_BASE) },
    normEpsilon: NORM_EPSILON,
  };
}

async function readHeader(source: ByteSource): Promise<Header> {
  const view = new DataView((await readBytes(source, 0, LEGACY_HEADER)).buffer);
  if (view.getUint32(0, true) !== VERSIONED_MAGIC) {
    const guess = `${source.name} as a checkpoint of llama2.c (it is neither GGUF nor safetensors)`;
    const { shape, vocabulary } = readShape(guess, view, 0);
    // the sign of the vocabulary says whether the classifier is the embedding
    return { shape, shared: vocabulary > 0, bytes: LEGACY_HEADER, version: 0 };
  }
  const version = view.getInt32(4, true);
  if (version !== 1) {
    throw new RangeError(
      `Cannot read ${source.name}: a llama2.c checkpoint of version ${version}; ` +
        `export it in float32, with --version 0 or 1`,
    );
  }
  const long = new DataView((await readBytes(source, 0, VERSIONED_HEADER)).buffer);
  const { shape } = readShape(source.name, long, 8);
  return { shape, shared: long.getUint8(36) !== 0, bytes: VERSIONED_HEADER, version: 1 };
}

function readShape(
  name: string,
  view: DataView,
  offset: number,
): { shape: ModelShape; vocabulary: number } {
  const at = (index: number): number => view.getInt32(offset + 4 * index, true);
  const [dim, hidden, layers, heads, kvHeads] = [at(0), at(1), at(2), at(3), at(4)];
  const vocabulary = at(5), context = at(6);
  const sizes = { dim, hidden, layers, heads, kvHeads, vocabulary: Math.abs(vocabulary), context };
  const shape = { ...sizes, headDim: dim / heads }; // the last, so that what is wrong is named first
  checkShape(name, shape);
  return { shape, vocabulary };
}

/** The order of the arrays. Version 1 has the norms first, and no table of angles. */
function partsOf({ shape, shared, version }: Header): Part[] {
  const layers = (...names: (keyof LayerWeights)[]): Part[] =>
    names.map((name) => ({ of: "layers", name }));
  const embedding: Part = { of: "model", name: "embedding" };
  const norm: Part = { of: "model", name: "norm" };
  const own: Part[] = shared ? [] : [{ of: "model", name: "classifier" }];
  const matrices = ["wq", "wk", "wv", "wo"] as const, inner = ["gate", "down", "up"] as const;
  if (version === 1) {
    const norms = layers("attentionNorm", "feedForwardNorm");
    return [...norms, norm, embedding, ...layers(...matrices, ...inner), ...own];
  }
  const angles: Part = { of: "nothing", count: shape.context * shape.headDim };
  const rest = layers("attentionNorm", ...matrices, "feedForwardNorm", ...inner);
  return [embedding, ...rest, norm, angles, ...own];
}

function sizeOf(part: Part, shape: ModelShape): number {
  if (part.of === "nothing") return part.count;
  if (part.of === "layers") return layerSizes(shape)[part.name];
  return part.name === "norm" ? shape.dim : shape.vocabulary * shape.dim;
}

function countOf(parts: Part[], shape: ModelShape): number {
  return parts.reduce((sum, part) => {
    return sum + sizeOf(part, shape) * (part.of === "layers" ? shape.layers : 1);
  }, 0);
}

async function readWeights(
  source: ByteSource,
  start: number,
  parts: Part[],
  shape: ModelShape,
): Promise<Weights> {
  let offset = start;
  const next = async (count: number): Promise<Float32Array> => {
    const { buffer } = await readBytes(source, offset, 4 * count);
    offset += 4 * count;
    return new Float32Array(buffer);
  };
  const layers = Array.from({ length: shape.layers }, () => ({} as LayerWeights));
  const weights: Partial<Weights> = { layers };
  for (const part of parts) {
    const count = sizeOf(part, shape);
    if (part.of === "nothing") offset += 4 * count;
    else if (part.of === "model") weights[part.name] = await next(count);
    else for (const layer of layers) layer[part.name] = await next(count);
  }
  return { classifier: weights.embedding, ...weights } as Weights; // its own comes last, if there
}
