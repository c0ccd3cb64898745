// What mask functions say about whole tiles: those that no query sees are not read, those that all see need no mask.
// Verdicts are about all heads of a region at once, because its work items are.
import type { ExtremesOf } from "../../expression/intervals.ts";
import { VARIES } from "../../expression/symbols.ts";
import type { Traced } from "../../expression/traced.ts";
import { type Classifier, MIXED, NEVER } from "../../expression/verdict.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { conditionOf } from "../condition.ts";
import type { Region } from "./regions.ts";

/** What is asked about tiles of a sequence of a region, in the coordinates of the region. */
export interface RegionCondition {
  readonly ask: Classifier;
  /** Where verdicts were found beforehand, so that each tile may be asked about: what was said in earlier calls. */
  readonly streams: Streams | undefined;
}

/** Streams of a mask for the next call with the same tiles. */
interface Streams {
  readonly known: Map<string, Stream>;
  /** The sequence, heads and region. */
  readonly where: string;
}

/** Of each mask whose verdicts are at hand. */
const STREAMS = new WeakMap<NonNullable<Traced["classifier"]>, Map<string, Stream>>();
/** Most streams that are kept of one: those of 65536 queries and as many keys, both passes, are 4096 of 2 KiB. */
const MOST_STREAMS = 2 ** 14;

function streamsOf({ grain, classifier }: Traced): Map<string, Stream> | undefined {
  if (!grain || !classifier) return undefined;
  const known = STREAMS.get(classifier) ?? new Map<string, Stream>();
  STREAMS.set(classifier, known);
  return known;
}

/** The mask function of a sequence of a region. */
export type RegionClassifier = (batch: number) => RegionCondition | undefined;

const NO_CLASSIFIER: RegionClassifier = () => undefined;

/** Makes the classifiers of the regions of a call. */
export function regionClassifiers(problem: AttentionProblem): (region: Region) => RegionClassifier {
  const traced = conditionOf(problem);
  if (!traced) return () => NO_CLASSIFIER;
  const known: ExtremesOf = new Map(), { varies } = traced.graph.root;
  const streams = streamsOf(traced);
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
      const where = [key, head, last, rowBegin, keyBegin].join();
      return { ask, streams: streams && { known: streams, where } };
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

/** What is streamed: tiles of `size` from `begin` to `end`; `beside`: the range that meets them, in words. */
export interface StreamedTiles {
  readonly begin: number;
  readonly end: number;
  readonly size: number;
  readonly beside: string;
}

/** Classifies streamed tiles; `ask`: about a part of their range. */
export function classifiedStream(
  { begin, end, size, beside }: StreamedTiles,
  streams: Streams | undefined,
  ask: (begin: number, end: number) => number,
): Stream {
  const key = streams && [streams.where, beside, begin, end, size].join();
  const known = key && streams.known.get(key);
  if (known) return known;
  const all = verdictsOf(
    Math.ceil((end - begin) / size),
    streams !== undefined,
    (first, last) => ask(begin + first * size, Math.min(end, begin + last * size)),
  );
  const made = trimmed(all, begin, end, size);
  if (key && streams.known.size < MOST_STREAMS) streams.known.set(key, made);
  return made;
}

/** A stream without the tiles at its ends that are never seen. */
function trimmed(all: Uint8Array, begin: number, end: number, size: number): Stream {
  const first = all.findIndex((verdict) => verdict !== NEVER);
  if (first < 0) return { begin, end: begin, verdicts: all.subarray(0, 0), share: 0 };
  const last = all.findLastIndex((verdict) => verdict !== NEVER) + 1;
  const verdicts = all.slice(first, last);
  return {
    begin: begin + first * size,
    end: Math.min(end, begin + last * size),
    verdicts,
    share: verdicts.reduce((sum, verdict) => sum + Number(verdict !== NEVER), 0) / verdicts.length,
  };
}
