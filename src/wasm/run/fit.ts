// Plans within a budget: the usual plan where it fits with room to spare, otherwise one region at a time, with fewer rows
// and keys until it fits, or the smallest that there is with what it needs. Pure, so that explain() tells the same.
import { plannedResults } from "../../plan/results.ts";
import { type Plan, planAttention } from "../../plan/wasm/plan.ts";
import { CHUNK_KEYS, LEAST_ROWS, type RegionLimits } from "../../plan/wasm/regions.ts";
import type { WasmTarget } from "../../plan/target.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { OperandName } from "../../tensor/operands.ts";
import { count } from "../../tensor/shape.ts";
import { blockBytes } from "../memory/arena.ts";
import { type Planned, plannedBytes, residentBytes } from "./planned_bytes.ts";

/** A plan with the memory that it takes. */
export interface FittedPlan {
  readonly plan: Plan;
  /** Bytes at the peak: staged operands, results that stay, scratch of threads. */
  readonly peakBytes: number;
  /** Bytes of the block that all staging of the call goes into; undefined where memory is plenty. */
  readonly arenaBytes: number | undefined;
  /** Whether it fits. */
  readonly fits: boolean;
}

/** What plans must fit. */
export interface Frame {
  readonly problem: AttentionProblem;
  readonly target: WasmTarget;
  /** Where they are known better than the problem knows them. */
  readonly results?: readonly Planned[] | undefined;
  /** Bytes that can be had in one piece. */
  readonly room: number;
  /** Bytes of scratch of one thread. */
  readonly scratchBytes: (plan: Plan) => number;
  /** Threads that need scratch, and regions that are in memory at the same time. */
  readonly scratches: (plan: Plan) => number;
  readonly open: (plan: Plan) => number;
}

/** How much of the room a plan may take whose blocks come and go in any order: holes between them take the rest. */
const SPARE = 2;

/** Bytes of the list of items that threads share: see runner.ts. */
function ticketBytes({ regions }: Plan): number {
  const shared = regions.flatMap(({ steps }) => steps).filter((step) => step.shared);
  return blockBytes(4 * shared.reduce((sum, { items }) => sum + items.length, 0));
}

/** Staging of a region of one thread that is not looked at closely; the same with scratch of dims that are usual. */
const REGION_BYTES = 2 ** 23, THREAD_BYTES = 2 ** 25, USUAL_DIMS = 2048;

/** Whether memory is so plenty that there is nothing to find out: most calls, which may take only microseconds. */
function isPlenty(frame: Frame, plan: Plan): boolean {
  const { problem, room, scratchBytes, scratches, results = plannedResults(problem) } = frame;
  const { operands, lengthQ, lengthK, captured, headDim, valueDim } = problem;
  let all = captured + lengthQ * lengthK / 64;
  for (const name in operands) all += count(operands[name as OperandName]!.size);
  for (const { size } of results) all += count(size);
  const usual = headDim + valueDim <= USUAL_DIMS;
  if (usual && 32 * all + (plan.threads + 1) * THREAD_BYTES <= room) return true;
  return 32 * all + scratches(plan) * (2 * scratchBytes(plan) + REGION_BYTES) <= room;
}

function bytesOf(frame: Frame, plan: Plan): Omit<FittedPlan, "fits"> {
  const { problem, results } = frame, open = plan.limits ? 1 : frame.open(plan);
  const staging = plannedBytes(problem, plan, open, results);
  const threads = frame.scratches(plan), scratch = threads * blockBytes(frame.scratchBytes(plan));
  return {
    plan,
    peakBytes: staging + scratch + (threads > 1 ? ticketBytes(plan) : 0) +
      residentBytes(problem, results),
    arenaBytes: plan.limits && staging,
  };
}

/** The next multiple. */
const up = (n: number, multiple: number): number => Math.ceil(n / multiple) * multiple;
const half = (n: number, multiple: number): number => Math.max(multiple, up(n / 2, multiple));

/** A plan with the limits that it keeps. */
interface Tried extends Omit<FittedPlan, "fits"> {
  readonly limits: RegionLimits;
}

type Try = (limits: RegionLimits) => Tried;

/** Limits that are tighter than a plan in one way or another, the last in every way. */
function tighter({ plan, limits }: Tried): RegionLimits[] {
  // from what regions really are, which may be less, or, where keys cannot come in chunks, more
  const rows = Math.min(limits.rows, up(most(plan, "row"), LEAST_ROWS)), { whole } = limits;
  const keys = Math.min(limits.keys, up(most(plan, "key"), CHUNK_KEYS));
  const fewer = half(rows, LEAST_ROWS), shorter = half(keys, CHUNK_KEYS);
  const all = [
    { rows: fewer, keys, whole },
    { rows, keys: shorter, whole },
    { rows, keys, whole: whole > 1 ? Math.floor(whole / 8) : 0 },
    { rows: fewer, keys: shorter, whole: Math.floor(whole / 8) },
  ];
  return all.filter((one) => one.rows < rows || one.keys < keys || one.whole < whole);
}

/** Rows, or keys, of the largest region of a plan. */
function most({ regions }: Plan, of: "row" | "key"): number {
  return regions.reduce((n, region) => Math.max(n, region[`${of}End`] - region[`${of}Begin`]), 1);
}

/** From no limits to the tightest, each time the step that saves most, until it fits. */
function tighten(frame: Frame, target: WasmTarget): Tried {
  const { problem, room } = frame, { lengthQ, lengthK } = problem;
  const fit: Try = (limits) => ({
    limits,
    ...bytesOf(frame, planAttention(problem, target, limits)),
  });
  let now = fit({
    rows: Math.max(LEAST_ROWS, up(lengthQ, LEAST_ROWS)),
    keys: Math.max(CHUNK_KEYS, up(lengthK, CHUNK_KEYS)),
    whole: 2 ** 32,
  });
  let least = now;
  while (now.peakBytes > room) {
    const tried = tighter(now).map(fit);
    if (tried.length === 0) return least;
    // the last of them is taken where no other helps
    const best = tried.slice(0, -1).reduce((a, b) => b.peakBytes < a.peakBytes ? b : a, tried[0]!);
    now = best.peakBytes < now.peakBytes ? best : tried.at(-1)!;
    if (now.peakBytes < least.peakBytes) least = now;
  }
  return loosen(fit, now, room);
}

/** Makes use of what is left: more rows, which share what is brought in of keys, or more keys. */
function loosen(fit: Try, fitted: Tried, room: number): Tried {
  for (const factor of [2, 1.5, 1.2]) {
    for (const axis of ["rows", "keys"] as const) {
      const multiple = axis === "rows" ? LEAST_ROWS : CHUNK_KEYS, { limits } = fitted;
      const next = fit({ ...limits, [axis]: up(factor * limits[axis], multiple) });
      const fewer = next.plan.regions.length < fitted.plan.regions.length;
      if (fewer && next.peakBytes <= room) fitted = next;
    }
  }
  return fitted;
}

/** The plan of a call. */
export function fitPlan(frame: Frame): FittedPlan {
  const { problem, target, room } = frame, usual = planAttention(problem, target);
  if (isPlenty(frame, usual)) {
    return { plan: usual, peakBytes: 0, arenaBytes: undefined, fits: true }; // nobody asked for bytes
  }
  const plain = bytesOf(frame, usual);
  if (SPARE * plain.peakBytes <= room) return { ...plain, fits: true };
  const small = tighten(frame, target);
  if (small.peakBytes <= room) return { ...small, fits: true };
  // scratch of one thread is the last that can be saved
  const alone = tighten(frame, { ...target, threads: 1 });
  return { ...alone, fits: alone.peakBytes <= room };
}

/** The same for explain(), which wants to know the bytes in any case. */
export function explainedPlan(frame: Frame): FittedPlan {
  const fitted = fitPlan(frame);
  return fitted.peakBytes > 0 ? fitted : { ...bytesOf(frame, fitted.plan), fits: true };
}
