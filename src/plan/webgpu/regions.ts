// Regions: the parts of a problem whose tensors fit the bindings of a device. A binding holds the whole range
// from the first to the last element of its region, so axes are cut from the one with the largest stride.
import { VERDICTS_OF_WORD } from "../../../shaders/abi.ts";
import { feature } from "../../problem/features/table.ts";
import { type AttentionProblem, CALL_NAMES } from "../../problem/problem.ts";
import { rotatedInputs, rotationOf } from "../../problem/rotations.ts";
import {
  type Follows,
  follows,
  OPERAND_NAMES,
  type OperandName,
  OPERANDS,
  packedSide,
} from "../../tensor/operands.ts";
import { rowMajor } from "../../tensor/shape.ts";
import {
  type Axes,
  AXIS_INDICES,
  type AxisIndex,
  elementBytes,
  forAxes,
  rankOf,
  tensorAxes,
} from "../../tensor/view.ts";
import { plannedResults } from "../results.ts";
import { regionsBySequence, type RowBases } from "../sequences.ts";
import { capturedBytes } from "./functions.ts";
import { LEAST_TILE } from "./tiles.ts";

/** Ranges of sequences, kv heads, heads of a group, queries and keys; of a packed problem, those of one sequence. */
export interface Region extends RowBases {
  readonly batchBegin: number;
  readonly batchEnd: number;
  readonly kvHeadBegin: number;
  readonly kvHeadEnd: number;
  /** Query heads that share a kv head; fewer than all only where the region has one kv head. */
  readonly groupBegin: number;
  readonly groupEnd: number;
  readonly rowBegin: number;
  readonly rowEnd: number;
  readonly keyBegin: number;
  readonly keyEnd: number;
}

/** Limits that regions keep. */
export interface RegionLimits {
  readonly storageBinding: number;
  readonly offsetAlignment: number;
  readonly workgroups: number;
  /** Most keys, or query rows of a group, that one workgroup may stream. */
  readonly stream?: number | undefined;
  /** How large a region may be along each axis, where memory is short. */
  readonly most?: RegionSize | undefined;
}

type Axis = "batch" | "head" | "group" | "row" | "key";
/** A length for each axis. */
export type RegionSize = { -readonly [axis in Axis]: number };

/** An operand as regions see it. */
interface Extent {
  readonly bytes: number;
  readonly strides: Axes;
  readonly sizes: Axes;
  readonly follows: Follows;
  /** Whether its heads are those of keys. */
  readonly ofKeys: boolean;
  /** Bytes of its binding that others need. */
  readonly shared: number;
}

/**
 * Whether an input is no binding of its own but lies behind the work items in the schedule buffer: bytes, and numbers
 * of heads. Eight storage buffers are all that every device has.
 */
export function isScheduled(name: OperandName): boolean {
  const { role, dtype } = OPERANDS[name];
  return role === "input" && (dtype === "bool" || follows(name) === "heads");
}

/** Operands of features that have a binding of their own. */
export function boundOperands({ features }: AttentionProblem): OperandName[] {
  return features.flatMap(({ name }) => feature(name).operands ?? [])
    .filter((name) => !isScheduled(name));
}

/** What the schedule buffer holds beside inputs: sequences and work items. */
const SCHEDULE_BYTES = 2 ** 20;

/** Bytes of what masks say of tiles, at most: each of their tables two bits for each tile, of the smallest tile. */
function verdictBytes({ features }: AttentionProblem, { batch, group, row, key }: RegionSize) {
  const tables = features.map(({ name }) => feature(name))
    .filter(({ stage, perScore }) => stage === "hide" && perScore).length;
  const tiles = [Math.ceil(row * group / LEAST_TILE), Math.ceil(key / LEAST_TILE)] as const;
  const words = (items: number, streamed: number) => items * Math.ceil(streamed / VERDICTS_OF_WORD);
  return 4 * tables * batch * (words(...tiles) + words(tiles[1], tiles[0]));
}

/** Tensors in the order in which they are looked at: first what follows queries. */
const ORDER: readonly Follows[] = ["queries", "keys", "scores", "heads"];

/** Whether the heads of an operand are those of keys. */
const ofKeys = (name: OperandName): boolean => OPERANDS[name].axes[1] === "kvHead";

/** The table by which the rows of an operand turn: a row for each row of a head, and some words for each sequence. */
function tableExtent(problem: AttentionProblem, name: OperandName, size: Axes): Extent {
  const { dims } = rotationOf(problem, name)!, [batch, , rows] = size;
  const strides: Axes = [rows * dims + 2, 0, dims, 1], sizes: Axes = [batch, 1, rows, dims];
  return { bytes: 4, strides, sizes, follows: follows(name), ofKeys: ofKeys(name), shared: 0 };
}

function extents(problem: AttentionProblem): Extent[] {
  const { operands, layout } = problem, found: Extent[] = [];
  for (const name of OPERAND_NAMES) {
    const spec = operands[name];
    if (!spec || spec.pages) continue; // all the pages of a cache are bound whatever the region: they fit
    const shared = isScheduled(name) ? SCHEDULE_BYTES : 0, bytes = elementBytes(spec);
    const { strides, size: sizes } = spec;
    found.push({ bytes, strides, sizes, follows: follows(name), ofKeys: ofKeys(name), shared });
  }
  const turned = rotatedInputs(problem).map((name) => ({ name, size: operands[name]!.size }));
  for (const { name, size } of turned) found.push(tableExtent(problem, name, size));
  // results are row-major, and f32 while they are made, and so are operands once their rows have turned
  for (const { name, size } of [...plannedResults(problem), ...turned]) {
    const rank = rankOf(name, packedSide(name, problem) !== undefined);
    const axes = tensorAxes(name, rank, layout);
    const shape = Array.from({ length: rank }, (_, axis) => size[axes.indexOf(axis)]!);
    const dense = rowMajor(shape), strides = forAxes((n) => dense[axes[n]] ?? 1);
    const what = { follows: follows(name), ofKeys: ofKeys(name) };
    found.push({ bytes: 4, strides, sizes: size, ...what, shared: 0 });
    if (name === "lse" && problem.statistics.length > 0) { // four floats a row while they are made
      found.push({ bytes: 16, strides, sizes: size, ...what, shared: 0 });
    }
  }
  return ORDER.flatMap((what) => found.filter((extent) => extent.follows === what));
}

/** Elements of an axis that a region of this size holds. */
function width(
  { sizes, follows, ofKeys }: Extent,
  axis: AxisIndex,
  size: RegionSize,
  group: number,
): number {
  if (sizes[axis] === 1) return 1;
  if (axis === 0) return size.batch;
  if (axis === 1) return ofKeys ? size.head : (size.head - 1) * group + size.group;
  if (axis === 2) return follows === "keys" ? size.key : size.row;
  return follows === "scores" ? size.key : sizes[3];
}

/** What to cut to make an axis of an operand shorter. */
function cutOf(n: number, { follows, ofKeys }: Extent, size: RegionSize): Axis | undefined {
  if (n === 0) return "batch";
  if (n === 1) return size.head > 1 || ofKeys ? "head" : "group";
  if (n === 2) return follows === "keys" ? "key" : "row";
  return follows === "scores" ? "key" : undefined;
}

/** The axis to cut: of those that still can be, the one whose elements lie farthest apart. */
function farthest(extent: Extent, size: RegionSize): Axis | undefined {
  const { sizes, strides } = extent;
  return AXIS_INDICES.filter((n) => {
    const axis = cutOf(n, extent, size);
    return axis !== undefined && sizes[n] > 1 && size[axis] > 1;
  }).sort((a, b) => strides[b] - strides[a]).map((n) => cutOf(n, extent, size))[0];
}

/** Sizes of the regions along each axis. */
function regionSize(
  problem: AttentionProblem,
  total: RegionSize,
  limits: RegionLimits,
): RegionSize {
  const size = { ...total }, group = total.group;
  for (const axis of Object.keys(limits.most ?? {}) as Axis[]) {
    size[axis] = Math.min(size[axis], limits.most![axis]);
  }
  if (size.group < group) size.head = Math.min(1, size.head);
  const room = limits.storageBinding - limits.offsetAlignment;
  const captured = capturedBytes(problem, limits.storageBinding);
  const cut = (axis: Axis) => size[axis] = Math.ceil(size[axis] / 2);
  while (size.batch > limits.workgroups) cut("batch");
  // an item has sums of captured arrays for each of its kv heads
  while (size.head > 1 && 4 * problem.captured * size.head > limits.storageBinding) cut("head");
  while (size.head * size.group > limits.workgroups) cut(size.head > 1 ? "head" : "group");
  const { stream = Infinity } = limits, { pass } = problem;
  const streamsKeys = pass !== "scores" && pass !== "columnSums";
  while (streamsKeys && size.key > stream) cut("key");
  while (pass === "columnSums" && size.row > stream) cut("row");
  while (pass === "backward" && size.row * size.group > stream) {
    if (size.row > 1) cut("row");
    else { // heads of a group are cut only where a region has one kv head
      size.head = 1;
      cut("group");
    }
  }
  while (verdictBytes(problem, size) > room / 4 && Math.max(size.row, size.key) > 1) {
    const byRow = size.row > 1 && size.row * size.group > size.key;
    cut(size.batch > 1 ? "batch" : byRow ? "row" : "key");
  }
  const verdicts = verdictBytes(problem, size);
  for (const extent of extents(problem)) {
    const bytes = () =>
      extent.bytes * AXIS_INDICES.reduce<number>(
        (sum, n) => sum + (width(extent, n, size, group) - 1) * extent.strides[n],
        1,
      );
    const own = room - Math.min(room / 2, extent.shared && extent.shared + captured + verdicts);
    while (bytes() > own) {
      const axis = farthest(extent, size);
      if (!axis) {
        throw new RangeError(
          `Cannot run ${
            CALL_NAMES[pass]
          }: a row of ${bytes()} bytes is more than the ${room} bytes that the GPU binds`,
        );
      }
      cut(axis);
    }
  }
  const heads = () => (size.head - 1) * group + size.group, own = rowBytes(problem);
  while (own * size.batch * heads() * size.row > room) {
    const { batch, row, head } = size;
    cut(batch > 1 ? "batch" : row > 1 ? "row" : head > 1 ? "head" : "group");
  }
  return size;
}

/** Bytes of what the kernels of a pass keep of each query row, densely: see shaders/kernels/row_state.ts. */
function rowBytes({ pass, precision, operands }: AttentionProblem): number {
  if (pass === "backward") return precision === "f16" || operands.dEntropy ? 32 : 16;
  return pass !== "forward" && operands.lse ? 16 : 0;
}

/** Regions of the given size: first all keys of a range of queries, then the next queries. */
export function regionsOf(total: RegionSize, size: RegionSize): Region[] {
  const regions: Region[] = [];
  for (let b = 0; b < total.batch; b += size.batch) {
    for (let h = 0; h < total.head; h += size.head) {
      for (let g = 0; g < total.group; g += size.group) {
        for (let r = 0; r < total.row; r += size.row) {
          for (let k = 0; k === 0 || k < total.key; k += Math.max(1, size.key)) {
            regions.push({
              batchBegin: b,
              batchEnd: Math.min(total.batch, b + size.batch),
              kvHeadBegin: h,
              kvHeadEnd: Math.min(total.head, h + size.head),
              groupBegin: g,
              groupEnd: Math.min(total.group, g + size.group),
              rowBegin: r,
              rowEnd: Math.min(total.row, r + size.row),
              keyBegin: k,
              keyEnd: Math.min(total.key, k + size.key),
            });
          }
        }
      }
    }
  }
  return regions;
}

/** The regions of a problem; none where there is nothing to do but to fill results. */
export function planRegions(problem: AttentionProblem, limits: RegionLimits): Region[] {
  return regionsBySequence(problem, (problem) => batchRegions(problem, limits));
}

function batchRegions(problem: AttentionProblem, limits: RegionLimits): Region[] {
  const { batch, kvHeads, queryHeads, lengthQ, lengthK, features } = problem;
  const group = queryHeads / Math.max(1, kvHeads);
  const total = { batch, head: kvHeads, group, row: lengthQ, key: lengthK };
  // rows without a key may have a state all the same
  const alone = features.some(({ name }) => feature(name).stage === "state");
  const needed = alone ? { ...total, key: 1 } : total;
  if (Object.values(needed).some((n) => n === 0)) return [];
  return regionsOf(total, regionSize(problem, total, limits));
}
