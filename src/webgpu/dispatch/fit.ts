// Plans within the memory of a device: the usual one where it fits, otherwise regions that run alone, as large as they can
// be, or the smallest with what they need.
import { callName } from "../../backend/backend.ts";
import { plannedResults } from "../../plan/results.ts";
import { type GpuPlan, planWebGpu } from "../../plan/webgpu/plan.ts";
import type { RegionSize } from "../../plan/webgpu/regions.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import type { ResultSpec } from "../../problem/results.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { count } from "../../tensor/shape.ts";
import type { OpenDevice } from "../device/device.ts";
import type { GpuMemory } from "../device/memory.ts";
import { GpuCall } from "./call.ts";
import { CountingPool, dryHome } from "./dry_run.ts";
import { DocumentCall } from "./max_sim.ts";
import { DeviceWindows } from "./stream.ts";
import { paramsBytes } from "./submit.ts";
import { isWindow } from "./windows.ts";

/** What is planned. */
export interface Asked {
  readonly problem: AttentionProblem;
  readonly views: Views;
  readonly specs: readonly ResultSpec[];
  /** Results for which the caller has room on the device. */
  readonly given: (spec: ResultSpec) => boolean;
}

/** A plan with the memory that it takes. */
export interface FittedPlan {
  /** Undefined where the usual way is taken. */
  readonly streamed: GpuPlan | undefined;
  /** Bytes at the peak; 0 where memory is so plenty that nobody counted. */
  readonly peakBytes: number;
  readonly fits: boolean;
}

/** Calls whose tensors, this many times, fit are not looked at closely. */
const PLENTY = 32;

const bytesOf = ({ shape, dtype }: ResultSpec) => count(shape) * BYTES[dtype];

function isPlenty({ problem }: Asked, room: number): boolean {
  const { operands, lengthQ, lengthK, captured } = problem;
  const specs = [...Object.values(operands), ...plannedResults(problem)];
  const all = specs.reduce((sum, { size }) => sum + count(size), 0) + captured;
  return PLENTY * (4 * all + lengthQ * lengthK / 16) + 2 ** 28 <= room;
}

/** Results as a call would make them. */
function dryResults({ specs, given }: Asked, pool: CountingPool) {
  return specs.map((spec) => {
    const buffer = given(spec)
      ? new CountingPool().takeExactly(bytesOf(spec))
      : spec.resident
      ? pool.takeExactly(bytesOf(spec))
      : pool.take(bytesOf(spec));
    return { spec, buffer, tensor: undefined };
  });
}

/** What the usual way takes: everything at once, and what is read back. */
export function usualBytes(asked: Asked, open: OpenDevice): number {
  const pool = new CountingPool(), home = dryHome(open, pool), made = dryResults(asked, pool);
  const { problem, views } = asked;
  if (problem.documents) {
    const call = new DocumentCall(home, problem, views, made);
    pool.take(paramsBytes(call.steps(), open));
  } else {
    const plan = planWebGpu(problem, open.target);
    const call = plan.regions.length > 0 && new GpuCall(home, problem, plan, views, made);
    if (call) pool.take(paramsBytes(call.steps(), open));
  }
  const home16 = (n: number) => Math.ceil(n / 16) * 16;
  const back = asked.specs.filter(({ resident }) => !resident);
  pool.take(back.reduce((sum, spec) => sum + home16(bytesOf(spec)), 0));
  return pool.peak;
}

/** What streaming takes: of the largest regions of each kind. */
function streamedBytes(asked: Asked, plan: GpuPlan, open: OpenDevice): number {
  const { problem, views, specs } = asked, known = new Set<string>();
  let most = 0;
  for (const region of plan.regions) {
    const size = [
      ...[region.batchEnd - region.batchBegin, region.kvHeadEnd - region.kvHeadBegin],
      ...[region.groupEnd - region.groupBegin, region.rowEnd - region.rowBegin],
      ...[region.keyEnd - region.keyBegin, region.moreKeys, region.moreRows, region.lastKeys],
      ...[region.splits, region.rowItems.length, region.keyItems.length],
    ].join(" ");
    if (known.has(size)) continue;
    known.add(size);
    const pool = new CountingPool(), home = dryHome(open, pool);
    const whole = { ...asked, specs: specs.filter((spec) => !isWindow(spec)) };
    const device = new DeviceWindows(
      pool,
      { problem, plan, views, specs },
      dryResults(whole, pool),
    );
    device.begin({ ...region, moreKeys: false }); // its rows have their windows too
    const only = { ...plan, regions: [region], last: [] };
    const call = new GpuCall(home, problem, only, views, [], device.held);
    pool.take(paramsBytes(call.steps(), open));
    call.dispose();
    const windows = [...device.windows(true), ...device.windows(false)];
    const four = device.statistics?.size ?? 0;
    pool.take(windows.reduce((sum, { count }) => sum + 4 * count + 16, four));
    most = Math.max(most, pool.peak);
  }
  return most;
}

/** Sizes that are smaller along one axis. */
function smaller(size: RegionSize): RegionSize[] {
  const half = (n: number, least: number) => n <= least ? n : Math.max(least, Math.ceil(n / 2));
  if (size.batch > 1) return [{ ...size, batch: half(size.batch, 1) }];
  if (size.head > 1) return [{ ...size, head: half(size.head, 1) }];
  const all = [
    { ...size, row: half(size.row, LEAST) },
    { ...size, key: half(size.key, LEAST) },
    { ...size, group: half(size.group, 1) },
  ];
  return all.filter((one) => one.row < size.row || one.key < size.key || one.group < size.group);
}

/** The fewest rows and keys of a region: a tile or two. */
const LEAST = 64;

/** Smaller and smaller regions, each time by the step that saves most, until they fit. */
function shrink(asked: Asked, open: OpenDevice, room: number) {
  const { problem, specs } = asked, { batch, kvHeads, queryHeads, lengthQ, lengthK } = problem;
  const windows = new Set(specs.filter(isWindow).map(({ name }) => name));
  const planned = (most: RegionSize) => {
    const plan = planWebGpu(problem, open.target, { most, windows });
    return { most, plan, peakBytes: streamedBytes(asked, plan, open) };
  };
  const group = queryHeads / Math.max(1, kvHeads);
  let now = planned({ batch, head: kvHeads, group, row: lengthQ, key: lengthK }), least = now;
  while (now.peakBytes > room) {
    const steps = smaller(now.most).map(planned);
    if (steps.length === 0) break;
    now = steps.reduce((a, b) => b.peakBytes < a.peakBytes ? b : a);
    if (now.peakBytes < least.peakBytes) least = now;
  }
  return now.peakBytes <= room ? now : least;
}

/** How a call runs in `room` bytes. */
export function fitGpu(asked: Asked, open: OpenDevice, room: number): FittedPlan {
  const usual = { streamed: undefined, fits: true };
  if (isPlenty(asked, room)) return { ...usual, peakBytes: 0 };
  const peakBytes = usualBytes(asked, open), { pass, documents } = asked.problem;
  if (peakBytes <= room) return { ...usual, peakBytes };
  const streams = (pass === "forward" || pass === "backward") && !documents;
  if (!streams) return { ...usual, peakBytes, fits: false };
  const { plan, peakBytes: least } = shrink(asked, open, room);
  if (plan.regions.length === 0) return { ...usual, peakBytes, fits: false };
  return { streamed: plan, peakBytes: least, fits: least <= room };
}

/** The same for explain(), which wants to know the bytes in any case. */
export function explainedPlan(asked: Asked, open: OpenDevice, room: number): FittedPlan {
  const fitted = fitGpu(asked, open, room);
  return fitted.peakBytes > 0 ? fitted : { ...fitted, peakBytes: usualBytes(asked, open) };
}

/** The plan of a call that has to stream; undefined where all of it fits. Throws where it cannot be done. */
export function planWithin(
  asked: Asked,
  open: OpenDevice,
  { use, budget }: Pick<GpuMemory, "use" | "budget">,
  mayStream: boolean,
): GpuPlan | undefined {
  const room = budget - use.used, { streamed, peakBytes, fits } = fitGpu(asked, open, room);
  if (fits && (mayStream || !streamed)) return streamed;
  const needed = mayStream ? peakBytes : usualBytes(asked, open);
  throw new RangeError(
    `Cannot run ${
      callName(asked.problem)
    }: it takes ${needed} bytes of GPU memory at least, and of ` +
      `the ${budget} of memoryBudget ${room} are left; a memoryBudget of ${
        use.used + needed
      } is enough`,
  );
}
