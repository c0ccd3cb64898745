// Boxes: the parts of a problem whose tensors fit the bindings of a device. A binding holds the whole range
// from the first to the last element of its box, so axes are cut from the one with the largest stride.
import { elementBytes, type OperandSpec, rowMajor } from "../operand.ts";
import type { AttentionProblem } from "../problem.ts";

/** Ranges of sequences, kv heads, queries and keys. */
export interface Box {
  readonly batchBegin: number;
  readonly batchEnd: number;
  readonly kvHeadBegin: number;
  readonly kvHeadEnd: number;
  readonly rowBegin: number;
  readonly rowEnd: number;
  readonly keyBegin: number;
  readonly keyEnd: number;
}

/** Limits that boxes keep. */
export interface BoxLimits {
  readonly storageBinding: number;
  readonly offsetAlignment: number;
  readonly workgroups: number;
}

type Axis = "batch" | "head" | "row" | "key";

/** An operand as boxes see it: the axis of the problem that each of its axes follows. */
interface Extent {
  readonly bytes: number;
  readonly strides: readonly number[];
  readonly sizes: readonly number[];
  readonly axes: readonly (Axis | undefined)[];
}

const QUERY: readonly (Axis | undefined)[] = ["batch", "head", "row", undefined];
const KEY: readonly (Axis | undefined)[] = ["batch", "head", "key", undefined];
const SCORE: readonly (Axis | undefined)[] = ["batch", "head", "row", "key"];

function extents(problem: AttentionProblem): Extent[] {
  const { q, k, v, out, dOut, bias, mask } = problem.operands;
  const found: Extent[] = [];
  const add = (spec: OperandSpec | undefined, axes: readonly (Axis | undefined)[]) => {
    if (!spec) return;
    const { size: sizes, strides } = spec;
    found.push({ bytes: elementBytes(spec), strides, sizes, axes });
    // its result or gradient is row-major, and f32 while it is made
    const order = problem.layout === "bshd" ? [0, 2, 1, 3] : [0, 1, 2, 3];
    if (axes === SCORE) return;
    const dense = rowMajor(order.map((axis) => sizes[axis]));
    const back = order.map((_, axis) => dense[order.indexOf(axis)]);
    found.push({ bytes: 4, strides: back, sizes, axes });
  };
  add(q, QUERY);
  add(k, KEY);
  add(v, KEY);
  add(out, QUERY);
  add(dOut, QUERY);
  add(bias, SCORE);
  add(mask, SCORE);
  return found;
}

/** The boxes of a problem: first all keys of a range of queries, then the next queries. */
export function boxWindows(problem: AttentionProblem, limits: BoxLimits): Box[] {
  const { batch, kvHeads, lengthQ, lengthK } = problem;
  const total = { batch, head: kvHeads, row: lengthQ, key: lengthK };
  const step = { ...total };
  if (Object.values(total).some((n) => n === 0)) return [];
  const all = extents(problem), room = limits.storageBinding - limits.offsetAlignment;
  const group = problem.queryHeads / kvHeads;
  const sizeOf = ({ sizes, axes }: Extent, n: number) => {
    const axis = axes[n];
    if (!axis || sizes[n] === 1) return sizes[n];
    return axis === "head" && sizes[n] !== kvHeads ? step.head * group : step[axis];
  };
  const cut = (axis: Axis) => step[axis] = Math.ceil(step[axis] / 2);
  while (step.head > limits.workgroups) cut("head");
  while (step.batch > limits.workgroups) cut("batch");
  for (const extent of all) {
    const size = () =>
      extent.bytes *
      [0, 1, 2, 3].reduce((sum, n) => sum + (sizeOf(extent, n) - 1) * extent.strides[n], 1);
    while (size() > room) {
      const cuttable = [0, 1, 2, 3].filter((n) => {
        const axis = extent.axes[n];
        return axis && extent.sizes[n] > 1 && step[axis] > 1;
      }).sort((a, b) => extent.strides[b] - extent.strides[a]);
      if (cuttable.length === 0) {
        throw new RangeError(
          `Cannot run attention: a row of ${size()} bytes is more than the ${room} bytes that the GPU binds`,
        );
      }
      cut(extent.axes[cuttable[0]]!);
    }
  }
  const boxes: Box[] = [];
  for (let b = 0; b < batch; b += step.batch) {
    for (let h = 0; h < kvHeads; h += step.head) {
      for (let r = 0; r < lengthQ; r += step.row) {
        for (let k = 0; k < lengthK; k += step.key) {
          boxes.push({
            batchBegin: b,
            batchEnd: Math.min(batch, b + step.batch),
            kvHeadBegin: h,
            kvHeadEnd: Math.min(kvHeads, h + step.head),
            rowBegin: r,
            rowEnd: Math.min(lengthQ, r + step.row),
            keyBegin: k,
            keyEnd: Math.min(lengthK, k + step.key),
          });
        }
      }
    }
  }
  return boxes;
}
