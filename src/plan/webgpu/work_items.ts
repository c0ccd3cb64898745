// Work items of GPU kernels: which rows meet which keys, as data, longest first. Coordinates count from the
// begin of the region, because that is where the bindings begin.
import { partOfSpan, type SequenceSpan } from "../../problem/features/feature.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import type { Region } from "./regions.ts";
import { visibleKeys, visiblePairs } from "../visible.ts";
import { classifiedStream, type RegionClassifier, type Stream } from "./verdicts.ts";

/** One workgroup's work, for every kv head; the words of shaders/parts/item.ts. */
export interface GpuItem {
  /** Sequence of the region. */
  readonly batch: number;
  /** First row of a tile of rows, or first key of a tile of keys. */
  readonly first: number;
  /** What it streams: keys, or rows. */
  readonly begin: number;
  readonly end: number;
  /** Query i sees key j where low <= j - i <= high and j < limit. */
  readonly low: number;
  readonly high: number;
  readonly limit: number;
  /** KV split. */
  readonly slot: number;
  /** Visible pairs of one query head: what it costs. */
  readonly pairs: number;
  /** The tiles in which it streams; none where their kernel asks for no verdicts. */
  readonly tiles?: number;
  /** What a mask function says of each. */
  readonly verdicts?: Uint8Array | undefined;
}

/** Tiles of the longest stream. */
export function mostTiles(items: readonly GpuItem[]): number {
  return items.reduce((most, { tiles = 0 }) => Math.max(most, tiles), 0);
}

/** What the sequences of a region may see, in its coordinates. */
export function localSpans({ spans }: AttentionProblem, region: Region): SequenceSpan[] {
  const { batchBegin, batchEnd, rowBegin, rowEnd, keyBegin, keyEnd } = region;
  return spans.slice(batchBegin, batchEnd)
    .map((span) => partOfSpan(span, [rowBegin, rowEnd], [keyBegin, keyEnd]));
}

const tilesOf = ({ begin, end }: Pick<GpuItem, "begin" | "end">, size: number): number =>
  Math.ceil((end - begin) / size);

const longestFirst = (items: GpuItem[]): GpuItem[] => items.sort((a, b) => b.pairs - a.pairs);

/** A mask function, and how many keys or rows a tile of a stream has. */
export interface MaskedTiles {
  readonly classifiers: RegionClassifier;
  readonly size: number;
}

/** Keys of queries `from` to `to`, in tiles. */
function streamKeys(
  { classifiers, size }: MaskedTiles,
  batch: number,
  [from, to]: readonly [number, number],
  [begin, end]: readonly [number, number],
): Partial<Stream> & Pick<Stream, "begin" | "end"> {
  const condition = begin < end ? classifiers(batch) : undefined;
  if (!condition) return { begin, end };
  const { ask, streams } = condition, beside = `queries ${from} ${to}`;
  return classifiedStream(
    { begin, end, size, beside },
    streams,
    (first, last) => ask(from, to, first, last),
  );
}

/** Tiles of `rows` query rows; each in `splits` ranges of keys. */
export function forwardItems(
  region: Region,
  spans: readonly SequenceSpan[],
  group: number,
  rows: number,
  splits: number,
  tiles: MaskedTiles,
): GpuItem[] {
  const items: GpuItem[] = [], lengthQ = region.rowEnd - region.rowBegin, total = lengthQ * group;
  spans.forEach((span, batch) => {
    for (let first = 0; first < total; first += rows) {
      const from = Math.floor(first / group);
      const to = Math.floor((Math.min(total, first + rows) - 1) / group) + 1;
      const least = Math.min(span.lengthK, visibleKeys(span, from)[0]);
      const most = Math.max(least, visibleKeys(span, to - 1)[1]);
      const all = streamKeys(tiles, batch, [from, to], [least, most]), { begin, end } = all;
      // splits of equal length: every one is there for every tile, because the merge reads all
      const length = Math.ceil((end - begin) / splits / 32) * 32;
      for (let slot = 0; slot < splits; slot++) {
        const keyBegin = Math.min(end, begin + slot * length);
        const keyEnd = slot === splits - 1 ? end : Math.min(end, keyBegin + length);
        const { share = 1, ...keys } = splits === 1
          ? all
          : streamKeys(tiles, batch, [from, to], [keyBegin, keyEnd]);
        const pairs = share * visiblePairs(span, from, to, keys.begin, keys.end);
        const { low, high, lengthK: limit } = span, count = tilesOf(keys, tiles.size);
        items.push({ batch, first, ...keys, low, high, limit, slot, pairs, tiles: count });
      }
    }
  });
  return longestFirst(items);
}

/** Ranges of keys for all rows of a kv head at once. */
export function decodeItems(
  region: Region,
  spans: readonly SequenceSpan[],
  splits: number,
  block: number,
  classifiers: RegionClassifier,
): GpuItem[] {
  const items: GpuItem[] = [], lengthQ = region.rowEnd - region.rowBegin;
  spans.forEach((span, batch) => {
    // keys that no row sees are not read
    const least = Math.min(span.lengthK, visibleKeys(span, 0)[0]);
    const most = Math.max(least, visibleKeys(span, lengthQ - 1)[1]);
    const tiles = { classifiers, size: block };
    const { begin: from, end: to } = streamKeys(tiles, batch, [0, lengthQ], [least, most]);
    const length = Math.max(block, Math.ceil((to - from) / splits / block) * block);
    for (let slot = 0; slot < splits; slot++) {
      const begin = Math.min(to, from + slot * length), end = Math.min(to, begin + length);
      const pairs = visiblePairs(span, 0, lengthQ, begin, end);
      const { low, high, lengthK: limit } = span;
      items.push({ batch, first: 0, begin, end, low, high, limit, slot, pairs });
    }
  });
  return longestFirst(items);
}

/** Tiles of `keys` keys, with the query rows that see some of them. */
export function keyTileItems(
  region: Region,
  spans: readonly SequenceSpan[],
  group: number,
  keys: number,
  { classifiers, size }: MaskedTiles,
): GpuItem[] {
  const items: GpuItem[] = [], lengthQ = region.rowEnd - region.rowBegin;
  const lengthK = region.keyEnd - region.keyBegin;
  spans.forEach((span, batch) => {
    for (let first = 0; first < lengthK; first += keys) {
      const last = Math.min(first + keys, span.lengthK) - 1;
      // j - i <= high and j - i >= low: i from first - high to last - low
      const from = Math.min(lengthQ, Math.max(0, first - span.high));
      const to = last < first ? from : Math.max(from, Math.min(lengthQ, last - span.low + 1));
      const all = visiblePairs(span, 0, lengthQ, first, Math.max(first, last + 1));
      const { low, high, lengthK: limit } = span, rows = { begin: from * group, end: to * group };
      const condition = from < to ? classifiers(batch) : undefined;
      const { share = 1, ...stream }: Partial<Stream> & typeof rows = condition
        ? classifiedStream(
          { ...rows, size, beside: `keys ${first} ${last}` },
          condition.streams,
          (begin, end) =>
            condition.ask(Math.floor(begin / group), Math.ceil(end / group), first, last + 1),
        )
        : rows;
      const pairs = share * all;
      const tiles = tilesOf(stream, size);
      items.push({ batch, first, ...stream, low, high, limit, slot: 0, pairs, tiles });
    }
  });
  return longestFirst(items);
}
