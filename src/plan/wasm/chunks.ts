// Chunks of keys: how the regions of a head belong together where not all of its keys lie in memory at once. Forward has
// all chunks of a range of rows one after the other, each leaves a partial result, and behind the last one they are
// combined by their lse. Backward has all rows of a chunk one after the other, which add up its dK and dV; what a chunk
// brings to dQ is added on the host. Both in a fixed order. Chunks that rows do not see are left out.
import type { AttentionProblem } from "../../problem/problem.ts";
import type { KernelName } from "../kernel.ts";
import { roomOf } from "../sequences.ts";
import { visiblePairs } from "../visible.ts";
import type { Region } from "./regions.ts";

/** A region among those of the same heads. */
export interface LinkedRegion extends Region {
  /** Continues the dK and dV of the region before it. */
  readonly accumulate: boolean;
  /** No later region adds to its dK and dV. */
  readonly last: boolean;
  /** Continues the dQ, or the partial results, of an earlier region with other keys; no later region does. */
  readonly moreKeys: boolean;
  readonly lastKeys: boolean;
  /** Of forward: which of the partial results of its rows it makes, and how many there are; 1 where it has all keys. */
  readonly part: number;
  readonly parts: number;
}

const rowsId = ({ batchBegin, kvHeadBegin, rowBegin }: Region) =>
  `${batchBegin} ${kvHeadBegin} ${rowBegin}`;
const keysId = ({ batchBegin, kvHeadBegin, keyBegin }: Region) =>
  `${batchBegin} ${kvHeadBegin} ${keyBegin}`;

/** Whether a region has only some of the keys of its sequence. */
function isChunk(problem: AttentionProblem, { batchBegin, keyBegin, keyEnd }: Region): boolean {
  return keyBegin > 0 || keyEnd < roomOf(problem, batchBegin).lengthK;
}

/** Regions without those that see nothing and make nothing: every row and, in backward, every key stays in one. */
function seeing(problem: AttentionProblem, kernel: KernelName, all: readonly Region[]): Region[] {
  const pairs = all.map((region) => {
    const { batchBegin, rowBegin, rowEnd, keyBegin, keyEnd } = region;
    if (!isChunk(problem, region)) return 1; // all that there is
    return visiblePairs(problem.spans[batchBegin]!, rowBegin, rowEnd, keyBegin, keyEnd);
  });
  const seen = all.filter((_, n) => pairs[n]! > 0);
  const rows = new Set(seen.map(rowsId)), keys = new Set(seen.map(keysId));
  return all.filter((region, n) => {
    if (pairs[n]! > 0) return true;
    const firstOfRows = region.keyBegin === 0 && !rows.has(rowsId(region));
    const firstOfKeys = region.rowBegin === 0 && !keys.has(keysId(region));
    return firstOfRows || (kernel === "backward" && firstOfKeys);
  });
}

/** For each region how many before it have the same id, and how many there are in all. */
function count(regions: readonly Region[], id: (region: Region) => string) {
  const counted = new Map<string, number>();
  const before = regions.map((region) => {
    const n = counted.get(id(region)) ?? 0;
    counted.set(id(region), n + 1);
    return n;
  });
  return regions.map((region, n) => ({ before: before[n]!, all: counted.get(id(region))! }));
}

/** The regions of a plan, each of which has all keys of its rows. */
export function wholeRegions(
  problem: AttentionProblem,
  kernel: KernelName,
  all: readonly Region[],
): LinkedRegion[] {
  const backward = kernel === "backward";
  return all.map((region) => ({
    ...region,
    accumulate: backward && region.rowBegin > 0,
    last: region.rowEnd === roomOf(problem, region.batchBegin).lengthQ,
    ...{ moreKeys: false, lastKeys: true, part: 0, parts: 1 },
  }));
}

/** The regions of a plan in the order in which they run, each with its place among the others, which may have other keys. */
export function linkRegions(
  problem: AttentionProblem,
  kernel: KernelName,
  all: readonly Region[],
): LinkedRegion[] {
  const regions = seeing(problem, kernel, all), backward = kernel === "backward";
  const ofRows = count(regions, rowsId), ofKeys = count(regions, keysId);
  return regions.map((region, n): LinkedRegion => {
    const rows = ofRows[n]!, keys = ofKeys[n]!;
    return {
      ...region,
      accumulate: backward && keys.before > 0,
      last: keys.before === keys.all - 1,
      moreKeys: rows.before > 0,
      lastKeys: rows.before === rows.all - 1,
      part: backward ? 0 : rows.before,
      parts: backward ? 1 : rows.all,
    };
  });
}
