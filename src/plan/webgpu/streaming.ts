// Streaming: regions that run alone, one after the other, because memory is short. Those that see nothing and make nothing
// are left out, so what comes before and behind a region is found among those that are left.
import type { AttentionProblem } from "../../problem/problem.ts";
import type { OperandName } from "../../tensor/operands.ts";
import { visiblePairs } from "../visible.ts";
import type { Region, RegionSize } from "./regions.ts";
import type { RegionWork } from "./steps.ts";

/** How a plan streams: how large a region may be, and which results are windows. */
export interface Streaming {
  readonly most: RegionSize;
  readonly windows: ReadonlySet<OperandName>;
}

/** Whether regions before and behind one hold other keys, or other queries or heads of the same keys. */
export type Neighbours = Pick<RegionWork, "moreKeys" | "moreRows" | "lastKeys" | "lastRows">;

const rowsOf = ({ batchBegin, kvHeadBegin, groupBegin, rowBegin }: Region) =>
  `${batchBegin} ${kvHeadBegin} ${groupBegin} ${rowBegin}`;
const keysOf = ({ batchBegin, kvHeadBegin, keyBegin }: Region) =>
  `${batchBegin} ${kvHeadBegin} ${keyBegin}`;

/** Pairs that some sequence of a region sees. */
function pairsOf({ spans }: AttentionProblem, region: Region): number {
  const { batchBegin, batchEnd, rowBegin, rowEnd, keyBegin, keyEnd } = region;
  return spans.slice(batchBegin, batchEnd)
    .reduce((sum, span) => sum + visiblePairs(span, rowBegin, rowEnd, keyBegin, keyEnd), 0);
}

/** Regions that see something; and of rows, or of keys whose gradients are made, that nobody sees the first. */
export function seeingRegions(problem: AttentionProblem, all: readonly Region[]): Region[] {
  const seen = all.filter((region) => pairsOf(problem, region) > 0);
  const rows = new Set(seen.map(rowsOf)), keys = new Set(seen.map(keysOf)), kept = new Set(seen);
  return all.filter((region) => {
    if (kept.has(region)) return true;
    const first = !rows.has(rowsOf(region)) ||
      (problem.pass === "backward" && !keys.has(keysOf(region)));
    rows.add(rowsOf(region));
    keys.add(keysOf(region));
    return first;
  });
}

/** What is before and behind each of the regions. */
export function neighboursAmong(regions: readonly Region[]): (region: Region) => Neighbours {
  const ends = (id: (region: Region) => string) => {
    const first = new Map<string, Region>(), last = new Map<string, Region>();
    for (const region of regions) {
      if (!first.has(id(region))) first.set(id(region), region);
      last.set(id(region), region);
    }
    return (region: Region) => ({
      more: first.get(id(region)) !== region,
      last: last.get(id(region)) === region,
    });
  };
  const ofRows = ends(rowsOf), ofKeys = ends(keysOf);
  return (region) => ({
    moreKeys: ofRows(region).more,
    lastKeys: ofRows(region).last,
    moreRows: ofKeys(region).more,
    lastRows: ofKeys(region).last,
  });
}
