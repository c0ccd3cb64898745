// Operands whose rows turn before attention reads them: scratch in f32 for each part that a region reads, and the tables
// by which its rows turn.
import type { StorageKind } from "../../../shaders/parts/storage.ts";
import type { Region } from "../../plan/webgpu/regions.ts";
import { type RowRotation, turningRows } from "../../problem/features/row_rotation.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { rotationOf } from "../../problem/rotations.ts";
import { follows, type OperandName } from "../../tensor/operands.ts";
import type { GpuBuffer } from "../device/api.ts";
import { type Home, upload } from "../device/tensors.ts";
import { type Bound, wholeBuffer } from "./dispatch.ts";
import type { BufferView } from "./views.ts";

/** Scratch that lives as long as the call. */
type Take = (bytes: number) => GpuBuffer;

/** How many rows turn. */
export interface TurningPart {
  readonly batch: number;
  readonly heads: number;
  readonly rows: number;
  readonly headDim: number;
}

/** How operands are stored once their rows have turned. */
export function turnedKind(headDim: number): StorageKind {
  return { dtype: "f32", scalar: headDim % 4 !== 0 };
}

/** The rows of a region, counted in their sequences. */
const rowsOf = (name: OperandName, { rowBegin, rowEnd, keyBegin, keyEnd }: Region) =>
  follows(name) === "keys" ? [keyBegin, keyEnd] as const : [rowBegin, rowEnd] as const;

/** Where each sequence of a region finds its rows, and these, each once; see shaders/kernels/rotate.ts. */
function wordsOf(
  rotation: RowRotation,
  name: OperandName,
  region: Region,
): Uint32Array<ArrayBuffer> {
  const { dims, table } = rotation, { batchBegin, batchEnd } = region, n = batchEnd - batchBegin;
  const sequences = Array.from(
    { length: n },
    (_, b) => turningRows(rotation, batchBegin + b, rowsOf(name, region)),
  );
  const places = new Map<string, number>();
  let end = 1 + 2 * n;
  const placed = sequences.map(({ first, count }) => {
    const key = `${first} ${count}`, known = places.get(key);
    if (known !== undefined) return known;
    places.set(key, end);
    end += count * dims;
    return end - count * dims;
  });
  const words = new Uint32Array(end).fill(dims / 2, 0, 1), floats = new Float32Array(words.buffer);
  sequences.forEach(({ first, count }, b) => {
    words.set([placed[b]!, count], 1 + 2 * b);
    floats.set(table.subarray(first * dims, (first + count) * dims), placed[b]!);
  });
  return words;
}

/** The table of the rows of a region on the device. */
export function uploadRotations(
  home: Home,
  rotation: RowRotation,
  name: OperandName,
  region: Region,
  take: Take,
): Bound {
  const words = wordsOf(rotation, name, region), buffer = take(words.byteLength);
  upload(home, buffer, 0, new Uint8Array(words.buffer));
  return wholeBuffer(buffer, words.byteLength);
}

/** What the regions of a call share: parts that have turned, and tables. */
export class TurnedRows {
  readonly #home: Home;
  readonly #problem: AttentionProblem;
  readonly #take: Take;
  readonly #views = new Map<string, BufferView>();
  readonly #tables = new Map<string, Bound>();

  constructor(home: Home, problem: AttentionProblem, take: Take) {
    this.#home = home;
    this.#problem = problem;
    this.#take = take;
  }

  /** How many rows of an operand a region has. */
  part(name: OperandName, region: Region): TurningPart {
    const { queryHeads, kvHeads: all, headDim } = this.#problem;
    const kvHeads = region.kvHeadEnd - region.kvHeadBegin, [begin, end] = rowsOf(name, region);
    const heads = follows(name) === "keys"
      ? kvHeads
      : (kvHeads - 1) * (queryHeads / all) + region.groupEnd - region.groupBegin;
    return { batch: region.batchEnd - region.batchBegin, heads, rows: end - begin, headDim };
  }

  /** The part of an operand that a region reads, densely; undefined where its rows do not turn. */
  view(name: OperandName, region: Region): BufferView | undefined {
    if (!rotationOf(this.#problem, name)) return undefined;
    const { batchBegin, kvHeadBegin, groupBegin } = region, [begin] = rowsOf(name, region);
    const firstHead = follows(name) === "keys" ? 0 : groupBegin; // heads of a group share their keys
    const key = `${name} ${batchBegin} ${kvHeadBegin} ${firstHead} ${begin}`;
    let view = this.#views.get(key);
    if (!view) {
      const { batch, heads, rows, headDim } = this.part(name, region);
      const size = Math.max(16, 4 * batch * heads * rows * headDim);
      const strides = [heads * rows * headDim, rows * headDim, headDim, 1] as const;
      this.#views.set(key, view = { buffer: this.#take(size), offset: 0, size, at: 0, strides });
    }
    return view;
  }

  /** The table of the rows of a region; an operand and its gradient share theirs. */
  table(name: OperandName, region: Region): Bound {
    const key = [name, region.batchBegin, region.batchEnd, ...rowsOf(name, region)].join(" ");
    let table = this.#tables.get(key);
    if (!table) {
      const rotation = rotationOf(this.#problem, name)!;
      table = uploadRotations(this.#home, rotation, name, region, this.#take);
      this.#tables.set(key, table);
    }
    return table;
  }
}
