// How a problem is computed: kernel, tiles, threads, windows and their work items. A pure function of
// problem and target, so it can be tested and explained without a device.
import type { AttentionProblem } from "../../problem/problem.ts";
import type { WasmTarget } from "../target.ts";
import { type Cost, problemCost } from "../cost.ts";
import type { KernelName } from "../kernel.ts";
import { type KeyCuts, windowItems, type WorkItem } from "./work_items.ts";
import { keyParts } from "./splits.ts";
import {
  backwardTile,
  DECODE_QUERIES,
  DECODE_ROWS,
  decodeTile,
  forwardTile,
  type Tile,
} from "./tiles.ts";
import { cutKeys } from "../visible.ts";
import { ITEM_FLOPS, type Span3, stageWindows } from "./regions.ts";

/** What is staged together, and the work on it. */
export interface StageWindow extends Span3 {
  /** Continues the dK and dV of the window before it. */
  readonly accumulate: boolean;
  /** No later window adds to its dK and dV. */
  readonly last: boolean;
  /** Independent of each other, longest first. */
  readonly items: readonly WorkItem[];
  /** What joins partial results once all items are done. */
  readonly joins: readonly WorkItem[];
}

/** How a problem is computed. */
export interface Plan {
  readonly kernel: KernelName;
  readonly tile: Tile;
  /** Key ranges that are computed apart and then joined. */
  readonly parts: number;
  /** Threads worth waking. */
  readonly threads: number;
  readonly windows: readonly StageWindow[];
  readonly cost: Cost;
}

/** Work below this many operations is done before a second thread is awake (about 0.2 ms). */
const THREAD_FLOPS = 10e6;

function chooseKernel(problem: AttentionProblem): KernelName {
  if (problem.pass === "backward") return "backward";
  const rows = problem.lengthQ * (problem.queryHeads / Math.max(1, problem.kvHeads));
  const mixed = problem.operands.k?.dtype !== problem.operands.v?.dtype;
  const few = problem.lengthQ <= DECODE_QUERIES && rows >= 1 && rows <= DECODE_ROWS;
  return few && !mixed ? "decode" : "forward";
}

function chooseTile(kernel: KernelName, problem: AttentionProblem, threads: number): Tile {
  if (kernel === "backward") return backwardTile(problem);
  if (kernel === "decode") {
    const rows = problem.lengthQ * (problem.queryHeads / problem.kvHeads);
    return decodeTile({ rows, headDim: problem.headDim });
  }
  const tile = forwardTile(problem), { lengthQ, lengthK, headDim, valueDim } = problem;
  const half = (rows: number) => Math.ceil(rows / 2 / 8) * 8;
  let { rows } = tile;
  while (rows > 128 && 2 * rows * lengthK * (headDim + valueDim) > ITEM_FLOPS) rows = half(rows);
  // enough blocks for every thread, but no block below 64 rows: V^T is packed once for each
  const heads = problem.batch * problem.queryHeads;
  while (rows > 64 && threads > 1 && heads * Math.ceil(lengthQ / rows) < 2 * threads) {
    rows = half(rows);
  }
  return { rows, keys: tile.keys };
}

/** Kv groups whose items may run at the same time. */
function groupsAtOnce(problem: AttentionProblem, kernel: KernelName, spans: Span3[]): number {
  // row windows of backward run one after the other: each needs work for every thread
  const first = kernel === "backward" && spans.some(({ rowBegin }) => rowBegin > 0) && spans[0];
  if (!first) return problem.batch * problem.kvHeads;
  return (first.batchEnd - first.batchBegin) * (first.kvHeadEnd - first.kvHeadBegin);
}

/** Plans a problem for a target. */
export function planAttention(problem: AttentionProblem, target: WasmTarget): Plan {
  const cost = problemCost(problem);
  const threads = cost.flops < THREAD_FLOPS ? 1 : target.threads;
  const kernel = chooseKernel(problem);
  const tile = chooseTile(kernel, problem, threads);
  const spans = stageWindows(problem, kernel);
  const parts = keyParts(kernel, problem, threads, groupsAtOnce(problem, kernel, spans));
  const cuts = new Map<number, KeyCuts>();
  const cutsOf = ({ rowBegin, rowEnd }: Span3): KeyCuts => {
    let found = cuts.get(rowBegin);
    if (!found) {
      const step = kernel === "backward" ? tile.keys : 16, { lengthK } = problem;
      found = problem.spans.map((span) => cutKeys(span, [rowBegin, rowEnd], lengthK, parts, step));
      cuts.set(rowBegin, found);
    }
    return found;
  };
  const windows = spans.map((span): StageWindow => ({
    ...span,
    accumulate: kernel === "backward" && span.rowBegin > 0,
    last: span.rowEnd === problem.lengthQ,
    ...windowItems(problem, kernel, tile, cutsOf(span), span),
  }));
  return { kernel, tile, parts, threads, windows, cost };
}
