// What mask functions say about whole tiles: those that no query sees are not read, those that all see need no mask.
// Verdicts are about all heads of a region at once, because its work items are.
import type { ExtremesOf } from "../../expression/intervals.ts";
import { VARIES } from "../../expression/symbols.ts";
import { type Classifier, MIXED, NEVER } from "../../expression/verdict.ts";
import { feature } from "../../problem/features/table.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { Region } from "./regions.ts";

/** What is asked about tiles of a sequence of a region, in the coordinates of the region. */
export interface RegionCondition {
  readonly ask: Classifier;
  /** Whether verdicts were found beforehand, so that each tile may be asked about. */
  readonly atHand: boolean;
}

/** The mask function of a sequence of a region. */
export type RegionClassifier = (batch: number) => RegionCondition | undefined;

const NO_CLASSIFIER: RegionClassifier = () => undefined;

/** Makes the classifiers of the regions of a call. */
export function regionClassifiers(problem: AttentionProblem): (region: Region) => RegionClassifier {
  const traced = problem.features.map(({ name, params }) => feature(name).traced?.(params))
    .find((one) => one?.classifier);
  if (!traced) return () => NO_CLASSIFIER;
  const known: ExtremesOf = new Map(), { varies } = traced.graph.root;
  const group = problem.queryHeads / problem.kvHeads;
  return (region) => {
    const made = new Map<string, Classifier>();
    const head = region.kvHeadBegin * group + region.groupBegin;
    const last = (region.kvHeadEnd - 1) * group + region.groupEnd - 1;
    return (batch) => {
      const index = region.batchBegin + batch, { lengthQ, lengthK, offset } = problem.spans[index]!;
      const key = [lengthQ, lengthK, offset, varies & VARIES.batch ? index : ""].join();
      let classify = made.get(key);
      if (!classify) {
        classify = traced.classifier!({
          batch: [index, index],
          head: [head, last],
          kvHead: [region.kvHeadBegin, region.kvHeadEnd - 1],
          lengthQ: [lengthQ, lengthQ],
          lengthK: [lengthK, lengthK],
          offset: [offset, offset],
        }, known);
        made.set(key, classify);
      }
      const whole = classify, { rowBegin, keyBegin } = region;
      const ask: Classifier = (rows, rowEnd, keys, keyEnd) =>
        whole(rowBegin + rows, rowBegin + rowEnd, keyBegin + keys, keyBegin + keyEnd);
      return { ask, atHand: traced.grain !== undefined };
    };
  };
}

/** Verdicts of `count` tiles in a row; `ask`: about those from `first` to before `end`. */
function verdictsOf(
  count: number,
  atHand: boolean,
  ask: (first: number, end: number) => number,
): Uint8Array {
  const verdicts = new Uint8Array(count).fill(MIXED);
  // from coarse to fine; a mask that is mixed everywhere is not worth asking for each tile
  let budget = atHand ? Infinity : 24 + 8 * Math.ceil(Math.log2(count + 1));
  const open: [number, number][] = count > 0 ? [[0, count]] : [];
  for (let n = 0; n < open.length && budget > 0; n++, budget--) {
    const [first, end] = open[n]!, verdict = ask(first, end);
    if (verdict !== MIXED) verdicts.fill(verdict, first, end);
    else if (end - first > 1) {
      const middle = (first + end) >> 1;
      open.push([first, middle], [middle, end]);
    }
  }
  return verdicts;
}

/** A range that is streamed in tiles, without those at its ends that are never seen. */
export interface Stream {
  readonly begin: number;
  readonly end: number;
  /** Of each tile. */
  readonly verdicts: Uint8Array;
  /** The part of the range that is in tiles that somebody sees. */
  readonly share: number;
}

/** Classifies the tiles of `size` from `begin` to `end`; `ask`: about a part of that range. */
export function classifiedStream(
  begin: number,
  end: number,
  size: number,
  atHand: boolean,
  ask: (begin: number, end: number) => number,
): Stream {
  const all = verdictsOf(
    Math.ceil((end - begin) / size),
    atHand,
    (first, last) => ask(begin + first * size, Math.min(end, begin + last * size)),
  );
  const first = all.findIndex((verdict) => verdict !== NEVER);
  if (first < 0) return { begin, end: begin, verdicts: all.subarray(0, 0), share: 0 };
  const last = all.findLastIndex((verdict) => verdict !== NEVER) + 1;
  const verdicts = all.subarray(first, last);
  return {
    begin: begin + first * size,
    end: Math.min(end, begin + last * size),
    verdicts,
    share: verdicts.reduce((sum, verdict) => sum + Number(verdict !== NEVER), 0) / verdicts.length,
  };
}
