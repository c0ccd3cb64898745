// Which shard owns which rows of a cache. Rows of a sequence go round the shards in stripes, so that every shard has its
// share at every length, and a row's place follows from its number: nobody keeps a table.
import type { StripeShape } from "./wire/requests.ts";

export type { StripeShape } from "./wire/requests.ts";

/** The shard where a sequence begins by itself: not all at the same. A fork begins where its source does. */
export function startOf({ shards }: StripeShape, sequence: number): number {
  return sequence % shards;
}

/** The first stripe that a shard owns of a sequence that begins at shard `start`. */
export function firstStripe({ shards }: StripeShape, start: number, shard: number): number {
  return (shard - start % shards + shards) % shards;
}

/** The shard that owns a row. */
export function ownerOf({ shards, stripe }: StripeShape, start: number, row: number): number {
  return (Math.floor(row / stripe) + start) % shards;
}

/** Rows that a shard owns of the first `length` of a sequence: also the number there of row `length`, where it owns it. */
export function localLength(
  shape: StripeShape,
  start: number,
  length: number,
  shard: number,
): number {
  const { shards, stripe } = shape, first = firstStripe(shape, start, shard);
  const whole = Math.floor(length / stripe);
  const before = Math.max(0, Math.ceil((whole - first) / shards)) * stripe;
  return before + (whole % shards === first ? length % stripe : 0);
}

/** Rows that go to one shard: consecutive there, in pieces of the sequence they come from. */
export interface OwnedRows {
  readonly shard: number;
  /** Row of the shard where they begin. */
  readonly from: number;
  /** Rows of the sequence, counted from the first new one. */
  readonly pieces: readonly { readonly first: number; readonly end: number }[];
  readonly rows: number;
}

/** Deals out rows `begin` to before `begin + count` of a sequence that begins at shard `start`; shards without any are left out. */
export function dealRows(
  shape: StripeShape,
  start: number,
  begin: number,
  count: number,
): OwnedRows[] {
  const pieces = new Map<number, { first: number; end: number }[]>();
  for (let row = begin; row < begin + count;) {
    const end = Math.min(begin + count, (Math.floor(row / shape.stripe) + 1) * shape.stripe);
    const owner = ownerOf(shape, start, row), list = pieces.get(owner) ?? [];
    list.push({ first: row - begin, end: end - begin });
    pieces.set(owner, list);
    row = end;
  }
  return [...pieces].sort(([a], [b]) => a - b).map(([shard, list]) => ({
    shard,
    from: localLength(shape, start, begin, shard),
    pieces: list,
    rows: list.reduce((sum, { first, end }) => sum + end - first, 0),
  }));
}
