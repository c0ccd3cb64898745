/** Reads a case of the ONNX Attention operator and turns its inputs into a call of the library. */

import { encode, type StorageArray, type StorageType } from "./half.ts";
import type { MaskTensor, ReferenceOptions, Shape4, TestTensor } from "./reference/problem.ts";
import { readPacked } from "./reference/problem.ts";
import { mapTuple } from "./tuples.ts";

interface Entry {
  readonly shape: readonly number[];
  readonly dtype: "float32" | "float16" | "bool" | "int64";
  readonly file: string;
}

/** What `case.json` holds. */
interface Description {
  readonly attributes: Readonly<Record<string, number>>;
  readonly inputs: Readonly<Record<string, Entry | undefined>>;
  readonly outputs: Readonly<Record<string, Entry | undefined>>;
}

/** A call and the Y it must give, [batch, heads, length, dim]. */
export interface OnnxCase {
  readonly q: TestTensor;
  readonly k: TestTensor;
  readonly v: TestTensor;
  readonly options: ReferenceOptions;
  readonly y: TestTensor;
  /** Outputs of the case that attention() has no counterpart for. */
  readonly otherOutputs: readonly string[];
}

/** Reads the case in a folder. */
export function readOnnxCase(folder: URL): OnnxCase {
  const description: Description = JSON.parse(Deno.readTextFileSync(new URL("case.json", folder)));
  const { attributes, inputs, outputs } = description;
  const read = (entry: Entry | undefined) => entry && readEntry(folder, entry);
  const [queries, keys, values, y] = mapTuple([inputs.Q, inputs.K, inputs.V, outputs.Y], read);
  if (!queries || !keys || !values || !y) throw new Error(`${folder} lacks one of Q, K, V, Y`);

  // given where an operand is of rank 3
  const { q_num_heads: queryHeads = NaN, kv_num_heads: kvHeads = NaN } = attributes;
  const q = toRank4(queries, queryHeads);
  const k = concatenate(read(inputs.past_key), toRank4(keys, kvHeads));
  const v = concatenate(read(inputs.past_value), toRank4(values, kvHeads));
  const pastLength = inputs.past_key?.shape[2] ?? 0;
  const lengthQ = q.shape[2]!;
  const keyLengths = inputs.nonpad_kv_seqlen && readLengths(folder, inputs.nonpad_kv_seqlen);
  const offset = keyLengths ? keyLengths.map((length) => length - lengthQ) : pastLength;
  return {
    ...{ q, k, v },
    y: toRank4(y, queryHeads),
    options: {
      layout: "bhsd",
      ...(attributes.scale === undefined ? {} : { softmaxScale: attributes.scale }),
      ...(attributes.softcap ? { softcap: attributes.softcap } : {}), // 0 means none
      ...(attributes.is_causal ? { causal: { offset } } : {}),
      ...(keyLengths ? { keyLengths } : {}),
      ...(inputs.attn_mask ? readMask(folder, inputs.attn_mask, k.shape[2]!) : {}),
    },
    otherOutputs: Object.keys(outputs).filter((name) => name !== "Y"),
  };
}

function readBytes(folder: URL, { file }: Entry): ArrayBuffer {
  return Deno.readFileSync(new URL(file, folder)).buffer;
}

function readEntry(folder: URL, entry: Entry): TestTensor {
  const bytes = readBytes(folder, entry);
  return entry.dtype === "float16"
    ? { data: new Uint16Array(bytes), shape: entry.shape, dtype: "f16" }
    : { data: new Float32Array(bytes), shape: entry.shape };
}

function readLengths(folder: URL, entry: Entry): Int32Array<ArrayBuffer> {
  return Int32Array.from(new BigInt64Array(readBytes(folder, entry)), Number);
}

/** Rank 3 [batch, length, heads·dim] is bshd with two axes written as one; all goes on as [batch, heads, length, dim]. */
function toRank4(tensor: TestTensor, heads: number): TestTensor {
  if (tensor.shape.length === 4) return tensor;
  const [batch, length, width] = tensor.shape as readonly [number, number, number];
  const dim = width / heads;
  const shape = [batch, heads, length, dim];
  return { ...tensor, shape, strides: [length * width, dim, width, 1] };
}

/** Joins past and new rows along the length. */
function concatenate(past: TestTensor | undefined, added: TestTensor): TestTensor {
  if (!past) return added;
  const [batch, heads, rows, dim] = added.shape as Shape4, [, , pastRows] = past.shape as Shape4;
  const length = pastRows + rows;
  const [before, after] = [readPacked(past), readPacked(added)];
  const joined = new Float64Array(batch * heads * length * dim);
  for (let plane = 0; plane < batch * heads; plane++) {
    const cut = (values: Float64Array, rows: number) =>
      values.subarray(plane * rows * dim, (plane + 1) * rows * dim);
    joined.set(cut(before, pastRows), plane * length * dim);
    joined.set(cut(after, rows), (plane * length + pastRows) * dim);
  }
  return store(joined, [batch, heads, length, dim], added.dtype ?? "f32");
}

function store(values: Float64Array, shape: readonly number[], dtype: StorageType): TestTensor {
  const data: StorageArray = encode(values, dtype);
  return { data, shape, ...(dtype === "f32" ? {} : { dtype }) };
}

/** A boolean mask, or a float one as a bias; keys beyond its last axis are masked. */
function readMask(
  folder: URL,
  entry: Entry,
  lengthK: number,
): { mask: MaskTensor } | { bias: TestTensor } {
  const width = entry.shape[entry.shape.length - 1]!;
  const shape = [...entry.shape.slice(0, -1), width === 1 ? 1 : lengthK];
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const wide = shape[shape.length - 1]!;
  if (entry.dtype === "bool") {
    const source = new Uint8Array(readBytes(folder, entry));
    const data = new Uint8Array(rows * wide);
    for (let row = 0; row < rows; row++) {
      data.set(source.subarray(row * width, (row + 1) * width), row * wide);
    }
    return { mask: { data, shape } };
  }
  const source = readPacked(readEntry(folder, entry));
  const data = new Float32Array(rows * wide).fill(-Infinity);
  for (let row = 0; row < rows; row++) {
    data.set(source.subarray(row * width, (row + 1) * width), row * wide);
  }
  return { bias: { data, shape } };
}
