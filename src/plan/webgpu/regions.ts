// Boxes: the parts of a problem whose tensors fit the bindings of a device. A binding holds the whole range
// from the first to the last element of its box, so axes are cut from the one with the largest stride.
import { elementBytes, type OperandSpec, rowMajor } from "../../tensor/view.ts";
import type { AttentionProblem } from "../../problem/problem.ts";

/** Ranges of sequences, kv heads, heads of a group, queries and keys. */
export interface Box {
  readonly batchBegin: number;
  readonly batchEnd: number;
  readonly kvHeadBegin: number;
  readonly kvHeadEnd: number;
  /** Query heads that share a kv head; fewer than all only where the box has one kv head. */
  readonly groupBegin: number;
  readonly groupEnd: number;
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
  /** Most keys, or query rows of a group, that one workgroup may stream. */
  readonly stream?: number;
}

type Axis = "batch" | "head" | "group" | "row" | "key";
/** A length for each axis. */
export type Steps = { -readonly [axis in Axis]: number };

/** Which axes of an operand follow queries, and which keys. */
type Kind = "query" | "key" | "score";

/** An operand as boxes see it. */
interface Extent {
  readonly bytes: number;
  readonly strides: readonly number[];
  readonly sizes: readonly number[];
  readonly kind: Kind;
  /** Bytes of its binding that others need: a mask lies behind the work items. */
  readonly shared?: number;
}

function extents(problem: AttentionProblem): Extent[] {
  const { layout, batch, queryHeads, lengthQ, operands, pass } = problem;
  const { q, k, v, out, lse, dOut, dLse, bias, mask } = operands;
  const order = layout === "bshd" ? [0, 2, 1, 3] : [0, 1, 2, 3];
  const found: Extent[] = [];
  const add = (spec: OperandSpec | undefined, kind: Kind) => {
    if (!spec) return;
    const { size: sizes, strides } = spec;
    found.push({ bytes: elementBytes(spec), strides, sizes, kind });
  };
  // results and gradients are row-major, and f32 while they are made
  const addResult = (sizes: readonly number[], kind: Kind, axes: readonly number[] = order) => {
    const dense = rowMajor(axes.map((axis) => sizes[axis]));
    const strides = [0, 1, 2, 3].map((axis) => dense[axes.indexOf(axis)]);
    found.push({ bytes: 4, strides, sizes, kind });
  };
  for (const spec of [q, out, dOut, lse, dLse]) add(spec, "query");
  for (const spec of [k, v]) add(spec, "key");
  add(bias, "score");
  if (mask) {
    found.push({
      bytes: 1,
      strides: mask.strides,
      sizes: mask.size,
      kind: "score",
      shared: 2 ** 20,
    });
  }
  if (pass === "forward") {
    addResult([batch, queryHeads, lengthQ, problem.valueDim], "query");
    addResult([batch, queryHeads, lengthQ, 1], "query", [0, 1, 2, 3]);
  } else {
    addResult(q!.size, "query");
    for (const spec of [k!, v!]) addResult(spec.size, "key");
    if (bias) addResult(bias.size, "score", [0, 1, 2, 3]);
  }
  return found;
}

/** Elements of an axis that a box of these steps holds. */
function width({ sizes, kind }: Extent, axis: number, step: Steps, group: number): number {
  if (sizes[axis] === 1) return 1;
  if (axis === 0) return step.batch;
  if (axis === 1) return kind === "key" ? step.head : (step.head - 1) * group + step.group;
  if (axis === 2) return kind === "key" ? step.key : step.row;
  return kind === "score" ? step.key : sizes[3];
}

/** The axis to cut: of those that still can be, the one whose steps lie farthest apart. */
function farthest({ sizes, strides, kind }: Extent, step: Steps): Axis | undefined {
  const axisOf = (n: number): Axis | undefined =>
    n === 0
      ? "batch"
      : n === 1
      ? step.head > 1 || kind === "key" ? "head" : "group"
      : n === 2
      ? kind === "key" ? "key" : "row"
      : kind === "score"
      ? "key"
      : undefined;
  return [0, 1, 2, 3].filter((n) => {
    const axis = axisOf(n);
    return axis !== undefined && sizes[n] > 1 && step[axis] > 1;
  }).sort((a, b) => strides[b] - strides[a]).map(axisOf)[0];
}

/** Sizes of the boxes along each axis. */
function steps(problem: AttentionProblem, total: Steps, limits: BoxLimits): Steps {
  const step = { ...total }, group = total.group;
  const room = limits.storageBinding - limits.offsetAlignment;
  const cut = (axis: Axis) => step[axis] = Math.ceil(step[axis] / 2);
  while (step.batch > limits.workgroups) cut("batch");
  while (step.head * step.group > limits.workgroups) cut(step.head > 1 ? "head" : "group");
  const { stream = Infinity } = limits;
  while (step.key > stream) cut("key");
  while (problem.pass === "backward" && step.row * step.group > stream) {
    if (step.row > 1) cut("row");
    else { // heads of a group are cut only where a box has one kv head
      step.head = 1;
      cut("group");
    }
  }
  for (const extent of extents(problem)) {
    const bytes = () =>
      extent.bytes * [0, 1, 2, 3].reduce(
        (sum, n) => sum + (width(extent, n, step, group) - 1) * extent.strides[n],
        1,
      );
    const own = room - Math.min(room / 2, extent.shared ?? 0);
    while (bytes() > own) {
      const axis = farthest(extent, step);
      if (!axis) {
        throw new RangeError(
          `Cannot run attention: a row of ${bytes()} bytes is more than the ${room} bytes that the GPU binds`,
        );
      }
      cut(axis);
    }
  }
  return step;
}

/** Boxes of the given steps: first all keys of a range of queries, then the next queries. */
export function boxesOf(total: Steps, step: Steps): Box[] {
  const boxes: Box[] = [];
  for (let b = 0; b < total.batch; b += step.batch) {
    for (let h = 0; h < total.head; h += step.head) {
      for (let g = 0; g < total.group; g += step.group) {
        for (let r = 0; r < total.row; r += step.row) {
          for (let k = 0; k < total.key; k += step.key) {
            boxes.push({
              batchBegin: b,
              batchEnd: Math.min(total.batch, b + step.batch),
              kvHeadBegin: h,
              kvHeadEnd: Math.min(total.head, h + step.head),
              groupBegin: g,
              groupEnd: Math.min(total.group, g + step.group),
              rowBegin: r,
              rowEnd: Math.min(total.row, r + step.row),
              keyBegin: k,
              keyEnd: Math.min(total.key, k + step.key),
            });
          }
        }
      }
    }
  }
  return boxes;
}

/** The boxes of a problem. */
export function boxWindows(problem: AttentionProblem, limits: BoxLimits): Box[] {
  const { batch, kvHeads, queryHeads, lengthQ, lengthK } = problem;
  const group = queryHeads / Math.max(1, kvHeads);
  const total = { batch, head: kvHeads, group, row: lengthQ, key: lengthK };
  if (Object.values(total).some((n) => n === 0)) return [];
  return boxesOf(total, steps(problem, total, limits));
}
