// How a problem is computed: kernel, tiles, threads, regions and the steps of work on them. A pure function of
// problem and target, so it can be tested and explained without a device.
import type { AttentionProblem } from "../../problem/problem.ts";
import { hasIntegerOutputs, hasIntegerScores } from "../../problem/precision.ts";
import { rotationOf } from "../../problem/rotations.ts";
import type { OperandSpec } from "../../tensor/view.ts";
import { refuseFewRows } from "../precision.ts";
import type { DotForm, WasmTarget } from "../target.ts";
import { type Cost, problemCost } from "../cost.ts";
import type { KernelName } from "../kernel.ts";
import { roomOf } from "../sequences.ts";
import { type KeyCuts, regionSteps, type Step } from "./work_items.ts";
import { kvSplits, sequenceSplits } from "./splits.ts";
import {
  backwardTile,
  DECODE_QUERIES,
  DECODE_ROWS,
  decodeTile,
  DOCUMENT_TILE,
  forwardTile,
  insideTile,
  type Tile,
} from "./tiles.ts";
import { cutKeys } from "../visible.ts";
import { type LinkedRegion, linkRegions, wholeRegions } from "./chunks.ts";
import {
  CHUNK_KEYS,
  ITEM_FLOPS,
  LEAST_ROWS,
  type Region,
  type RegionLimits,
  regionsOf,
} from "./regions.ts";
import { spreadRegions } from "./spread.ts";

/** A region and the work on it. */
export interface PlannedRegion extends LinkedRegion {
  /** What runs, one step after the other. */
  readonly steps: readonly Step[];
}

/** How a problem is computed. */
export interface Plan {
  readonly kernel: KernelName;
  readonly tile: Tile;
  /** Panels of eight queries are multiplied two at a time. */
  readonly pairs: boolean;
  /** How products of bytes are made, where scores are sums of such. */
  readonly dots: DotForm | undefined;
  /** Whether outputs are, too. */
  readonly integerOutputs: boolean;
  /** Key ranges that are computed separately and then combined. */
  readonly splits: number;
  /** Threads worth waking. */
  readonly threads: number;
  /** Workers with a memory of their own that regions are sent to; 0: none are. */
  readonly workers: number;
  readonly regions: readonly PlannedRegion[];
  /** What keeps the regions small, and one of them in memory at a time, where memory is short. */
  readonly limits: RegionLimits | undefined;
  readonly cost: Cost;
}

/** Partial results of each row of a region, those that have a place of their own. */
export function partialResults({ steps }: PlannedRegion): number {
  return 1 + steps[0]!.items.reduce((last, { slot }) => Math.max(last, slot), -1);
}

/** Operations and bytes a millisecond of one thread that is not alone; on the careful side. */
const RATE = { flops: 40e6, bytes: 8e6 };

/** Milliseconds that the longest item of a plan takes, about. Items cannot be interrupted. */
export function longestItemMs(
  { headDim, valueDim }: AttentionProblem,
  { regions, cost }: Plan,
): number {
  const perPair = cost.flops / Math.max(1, cost.visiblePairs) / RATE.flops;
  const perKey = (headDim + valueDim) * 4 / RATE.bytes;
  let longest = 0;
  for (const { items: [item] } of regions.map(({ steps }) => steps[0]!)) {
    if (!item) continue; // the first is the longest
    longest = Math.max(longest, item.pairs * perPair, (item.keyEnd - item.keyBegin) * perKey);
  }
  return longest;
}

/** Work below this many operations is done before a second thread is awake (about 0.2 ms). */
const THREAD_FLOPS = 10e6;

/** The type in which decode finds keys or values: as they are stored, unless their rows turn, which makes them f32. */
function readAs(problem: AttentionProblem, name: "k" | "v"): OperandSpec["dtype"] | undefined {
  return rotationOf(problem, name) ? "f32" : problem.operands[name]?.dtype;
}

function chooseKernel(problem: AttentionProblem): KernelName {
  if (problem.pass === "backward") return "backward";
  if (problem.pass !== "forward") return "inside";
  const rows = problem.lengthQ * (problem.queryHeads / Math.max(1, problem.kvHeads));
  const mixed = readAs(problem, "k") !== readAs(problem, "v");
  const few = problem.lengthQ <= DECODE_QUERIES && rows >= 1 && rows <= DECODE_ROWS;
  return few && !mixed ? "decode" : "forward";
}

function chooseTile(kernel: KernelName, problem: AttentionProblem, threads: number): Tile {
  if (problem.documents) return DOCUMENT_TILE;
  if (kernel === "backward") return backwardTile(problem);
  if (kernel === "decode") {
    const rows = problem.lengthQ * (problem.queryHeads / problem.kvHeads);
    return decodeTile({ rows, headDim: problem.headDim, dtype: problem.operands.k?.dtype });
  }
  const tile = kernel === "inside" ? insideTile(problem) : forwardTile(problem);
  const { lengthQ, lengthK, headDim, valueDim } = problem;
  const half = (rows: number) => Math.ceil(rows / 2 / 8) * 8;
  let { rows } = tile;
  while (rows > 128 && 2 * rows * lengthK * (headDim + valueDim) > ITEM_FLOPS) rows = half(rows);
  // enough blocks for every thread, but no block below 64 rows: V^T is packed once for each
  const heads = problem.batch * problem.queryHeads;
  while (rows > 64 && threads > 1 && heads * Math.ceil(lengthQ / rows) < 2 * threads) {
    rows = half(rows);
  }
  // integers are made of whole groups, which tiles and chunks begin with
  const keys = hasIntegerOutputs(problem.precision) ? CHUNK_KEYS : 1;
  return { rows, keys: Math.ceil(tile.keys / keys) * keys };
}

/** Kv groups whose items may run at the same time. */
function groupsAtOnce(problem: AttentionProblem, kernel: KernelName, regions: Region[]): number {
  // regions of rows of backward run one after the other: each needs work for every thread
  const first = kernel === "backward" && regions.some(({ rowBegin }) => rowBegin > 0) && regions[0];
  if (!first) return problem.batch * problem.kvHeads;
  return (first.batchEnd - first.batchBegin) * (first.kvHeadEnd - first.kvHeadBegin);
}

/** The kernel, where keys may have to come in chunks: those of decode are always whole. */
function kernelWithin(
  problem: AttentionProblem,
  target: WasmTarget,
  limits: RegionLimits | undefined,
): KernelName {
  const kernel = chooseKernel(problem);
  if (kernel === "decode") refuseFewRows(problem, target);
  return kernel === "decode" && limits && limits.keys < problem.lengthK ? "forward" : kernel;
}

/** Plans a problem for a target; `limits`: where memory is short, which changes results in their last bits. */
export function planAttention(
  problem: AttentionProblem,
  target: WasmTarget,
  limits?: RegionLimits,
): Plan {
  const cost = problemCost(problem);
  const workers = limits ? 0 : target.workers ?? 0; // as many as are worth it for this call
  const threads = workers > 0 || cost.flops < THREAD_FLOPS ? 1 : target.threads;
  const kernel = kernelWithin(problem, target, limits);
  const { lengthQ, lengthK } = problem,
    { rows, keys: most } = limits ?? { rows: lengthQ, keys: lengthK };
  // as tall and as long as a region is at most
  const part = { ...problem, lengthQ: Math.min(lengthQ, rows), lengthK: Math.min(lengthK, most) };
  const tile = chooseTile(kernel, part, Math.max(threads, workers));
  const all = spreadRegions(
    problem,
    kernel,
    regionsOf(problem, kernel, limits),
    tile.rows % LEAST_ROWS === 0 ? tile.rows : 4 * tile.rows, // hidden blocks have rows of 32
    workers,
  );
  const splits = kvSplits(kernel, part, threads, groupsAtOnce(problem, kernel, all));
  const cuts = new Map<string, ReturnType<KeyCuts>>();
  const cutsOf = ({ rowBegin, rowEnd, keyBegin, keyEnd }: Region): KeyCuts => (sequence) => {
    const key = `${sequence} ${rowBegin} ${keyBegin}`;
    let found = cuts.get(key);
    if (!found) {
      const multiple = kernel === "backward" ? tile.keys : 16;
      const end = Math.min(keyEnd, roomOf(problem, sequence).lengthK);
      const span = problem.spans[sequence]!, own = sequenceSplits(kernel, span, splits);
      const cut = cutKeys(span, [rowBegin, rowEnd], end, own, multiple, keyBegin);
      while (cut.length < splits) cut.push([end, end]); // nothing is left
      found = cut;
      cuts.set(key, found);
    }
    return found;
  };
  const inChunks = limits || all.some(({ keyBegin }) => keyBegin > 0);
  const link = inChunks && !problem.documents ? linkRegions : wholeRegions;
  const regions = link(problem, kernel, all).map((region): PlannedRegion => ({
    ...region,
    steps: regionSteps(problem, kernel, tile, { splits, of: cutsOf(region) }, region),
  }));
  const pairs = target.vectorBits === 256 && (kernel === "forward" || kernel === "backward");
  const dots = hasIntegerScores(problem.precision) ? target.dots : undefined;
  const integerOutputs = hasIntegerOutputs(problem.precision);
  const products = { pairs, dots, integerOutputs };
  return { kernel, tile, ...products, splits, threads, workers, regions, limits, cost };
}

/** Items that threads share, of all regions. */
export function sharedItems({ regions }: Pick<Plan, "regions">): number {
  const shared = regions.flatMap(({ steps }) => steps).filter((step) => step.shared);
  return shared.reduce((sum, step) => sum + step.items.length, 0);
}
