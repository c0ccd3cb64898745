// How a problem is computed on a GPU: kernels, tiles, regions of the tensors, the work items of each
// kernel as data, and what runs in which order. A pure function of problem and target.
import { decodeBlock, type DecodeShape } from "../../../shaders/abi.ts";
import type { SequenceSpan } from "../../problem/features/feature.ts";
import { feature } from "../../problem/features/table.ts";
import { learnedPlaces } from "../../problem/learned.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { gradientsOf, type OperandName, OPERANDS } from "../../tensor/operands.ts";
import { type Cost, problemCost } from "../cost.ts";
import type { KernelName } from "../kernel.ts";
import { refuseFewRows } from "../precision.ts";
import type { WebGpuTarget } from "../target.ts";
import { roomOf } from "../sequences.ts";
import { decodeShape } from "./decode.ts";
import { boundOperands, planRegions, type Region } from "./regions.ts";
import { type Neighbours, neighboursAmong, seeingRegions, type Streaming } from "./streaming.ts";
import {
  backwardSteps,
  forwardSteps,
  type GpuStep,
  insideSteps,
  lastSteps,
  type RegionWork,
} from "./steps.ts";
import { chooseTile, type ChosenTile, longestStream, targetWorkgroups } from "./tiles.ts";
import { regionClassifiers } from "./verdicts.ts";
import { decodeItems, forwardItems, keyTileItems, localSpans } from "./work_items.ts";

/** A part of the tensors that is bound at once, and the work on it. */
export interface PlannedRegion extends RegionWork {
  /** What its sequences may see, in its coordinates. */
  readonly spans: readonly SequenceSpan[];
  /** What runs, in order. */
  readonly steps: readonly GpuStep[];
}

/** How a problem is computed. */
export interface GpuPlan {
  readonly kernel: KernelName;
  readonly forward?: ChosenTile | undefined;
  readonly decode?: DecodeShape | undefined;
  readonly dq?: ChosenTile | undefined;
  readonly dkv?: ChosenTile | undefined;
  readonly pairSum?: ChosenTile | undefined;
  readonly inside?: ChosenTile | undefined;
  readonly regions: readonly PlannedRegion[];
  /**
   * Where memory is short regions run alone, one after the other, and these results are windows of what they are: of the
   * rows of a region while its keys change, of its keys for one region.
   */
  readonly windows?: ReadonlySet<OperandName> | undefined;
  /** What runs behind all regions. */
  readonly last: readonly GpuStep<"narrow" | "statistic">[];
  readonly cost: Cost;
}

/** Keys below which a part of a tile's keys is not worth its merge, and splits that a merge still reads quickly. */
const SPLITS = { forward: { least: 512, most: 64 }, decode: { least: 128, most: 256 } };

/** Storage buffers of dK/dV without those of features: schedule, q, k, v, dOut, stats, dk, dv. */
const DKV_BUFFERS = 8;

/** KV splits so that `tiles` of each fill the device. */
function numSplits(
  tiles: number,
  lengthK: number,
  kernel: keyof typeof SPLITS,
  target: WebGpuTarget,
): number {
  const wanted = Math.ceil(targetWorkgroups(target, kernel) / Math.max(1, tiles));
  const { least, most } = SPLITS[kernel];
  return Math.max(1, Math.min(wanted, Math.floor(lengthK / least), most));
}

/** Whether regions before and behind this one hold other keys, or other queries or heads of the same keys. */
function neighbours(problem: AttentionProblem, region: Region): Neighbours {
  const { lengthQ, lengthK } = roomOf(problem, region.batchBegin);
  const lastHead = region.groupEnd * problem.kvHeads === problem.queryHeads;
  return {
    moreKeys: region.keyBegin > 0,
    moreRows: region.rowBegin > 0 || region.groupBegin > 0,
    lastKeys: region.keyEnd === lengthK,
    lastRows: region.rowEnd === lengthQ && lastHead,
  };
}

type Needs = Parameters<typeof chooseTile>[1];

/** Regions, what is before and behind each, and which results are windows. */
interface Pieces {
  readonly regions: readonly Region[];
  readonly near: (region: Region) => Neighbours;
  readonly windows?: ReadonlySet<OperandName> | undefined;
}

function planBackward(
  problem: AttentionProblem,
  needs: Needs,
  { regions, near, windows }: Pieces,
  target: WebGpuTarget,
): Omit<GpuPlan, "cost" | "last"> {
  const dq = chooseTile("dq", needs, target);
  const split = DKV_BUFFERS + boundOperands(problem).length > target.limits.storageBuffers;
  const dkv = chooseTile("dkv", { ...needs, split }, target);
  const summed = gradientsOf(problem.operands).some((name) => OPERANDS[name].summed);
  const pairSum = summed ? chooseTile("pairSum", needs, target) : undefined;
  const classifiersOf = regionClassifiers(problem);
  const planned = regions.map((region): PlannedRegion => {
    const spans = localSpans(problem, region), group = region.groupEnd - region.groupBegin;
    const classifiers = classifiersOf(region);
    const tiles = (size: number) => ({ classifiers, size });
    const work: RegionWork = {
      ...region,
      ...near(region),
      splits: 1,
      rowItems: forwardItems(region, spans, group, dq.rows, 1, tiles(dq.columns)),
      keyItems: keyTileItems(region, spans, group, dkv.rows, tiles(dkv.columns)),
    };
    return { ...work, spans, steps: backwardSteps(problem, work, dkv.fused, windows) };
  });
  return { kernel: "backward", dq, dkv, pairSum, regions: planned };
}

function planForward(
  problem: AttentionProblem,
  needs: Needs,
  { regions, near, windows }: Pieces,
  target: WebGpuTarget,
): Omit<GpuPlan, "cost" | "last"> {
  const { headDim, valueDim, lengthQ } = problem;
  const group = problem.queryHeads / Math.max(1, problem.kvHeads);
  // a decode kernel is made for all rows of a group
  const whole = regions.every((region) =>
    region.rowEnd - region.rowBegin === lengthQ && region.groupEnd - region.groupBegin === group
  );
  const decode = whole ? decodeShape({ lengthQ, group, headDim, valueDim }, target) : undefined;
  if (decode) refuseFewRows(problem, target);
  const forward = decode ? undefined : chooseTile("forward", needs, target);
  const kernel = decode ? "decode" : "forward", tileRows = forward?.rows;
  const classifiersOf = regionClassifiers(problem);
  const planned = regions.map((region): PlannedRegion => {
    const spans = localSpans(problem, region), group = region.groupEnd - region.groupBegin;
    const heads = (region.batchEnd - region.batchBegin) * (region.kvHeadEnd - region.kvHeadBegin);
    const keys = region.keyEnd - region.keyBegin, rows = (region.rowEnd - region.rowBegin) * group;
    const tile = tileRows ?? rows, tiles = heads * Math.max(1, Math.ceil(rows / tile));
    // partial results of all splits are one binding
    const room = target.limits.storageBinding / (4 * heads * rows * Math.max(4, valueDim));
    const wanted = numSplits(tiles, keys, kernel, target);
    const splits = Math.max(1, Math.min(wanted, Math.floor(room)));
    const classifiers = classifiersOf(region), size = forward?.columns ?? 0;
    const rowItems = decode
      ? decodeItems(region, spans, splits, decodeBlock(decode), classifiers)
      : forwardItems(region, spans, group, tile, splits, { classifiers, size });
    const work: RegionWork = {
      ...region,
      ...near(region),
      splits,
      rowItems,
      keyItems: [],
    };
    return { ...work, spans, steps: forwardSteps(problem, work, kernel, windows) };
  });
  return { kernel, forward, decode, regions: planned };
}

function planInside(
  problem: AttentionProblem,
  needs: Needs,
  { regions, near }: Pieces,
  target: WebGpuTarget,
): Omit<GpuPlan, "cost" | "last"> {
  const inside = chooseTile("inside", needs, target), classifiersOf = regionClassifiers(problem);
  const planned = regions.map((region): PlannedRegion => {
    const spans = localSpans(problem, region), group = region.groupEnd - region.groupBegin;
    const tiles = { classifiers: classifiersOf(region), size: inside.columns };
    const rowItems = forwardItems(region, spans, group, inside.rows, 1, tiles);
    const work = { ...region, ...near(region), splits: 1, rowItems, keyItems: [] };
    // the largest scores are known when all keys were seen
    const last = problem.pass !== "topKeys" || work.lastKeys;
    return { ...work, spans, steps: insideSteps(problem, work, last) };
  });
  return { kernel: "inside", inside, regions: planned };
}

/** What plans a pass. */
const planners = { forward: planForward, backward: planBackward };

/** Plans a problem for a GPU; `streaming`: where memory is short. */
export function planWebGpu(
  problem: AttentionProblem,
  target: WebGpuTarget,
  streaming?: Streaming,
): GpuPlan {
  const cost = problemCost(problem), { headDim, valueDim, pass, precision } = problem;
  const kept = problem.features.some(({ name }) => feature(name).stage === "probability");
  const learned = problem.captured > 0 ? learnedPlaces(problem.features) : 0;
  const paired = problem.features.some(({ name }) => feature(name).perScore);
  const needs = { headDim, valueDim, precision, flops: cost.flops, kept, learned, paired };
  const stream = longestStream(
    { ...needs, count: problem.count, elements: problem.captured },
    target,
  );
  const { most, windows } = streaming ?? {};
  const all = planRegions(problem, { ...target.limits, stream, most });
  const regions = streaming ? seeingRegions(problem, all) : all;
  const near = streaming
    ? neighboursAmong(regions)
    : (region: Region) => neighbours(problem, region);
  const plan = pass === "forward" || pass === "backward" ? planners[pass] : planInside;
  const last = regions.length > 0 ? lastSteps(problem) : [];
  return { ...plan(problem, needs, { regions, near, windows }, target), windows, last, cost };
}
