/**
 * A rectangle of the map of attention in a few cells, made of strips of scores: however long the text, there is never
 * more than one strip of them.
 */
import { attentionScores, type Engine } from "@flashtile/attention";
import { floats } from "../../../byte_lm/floats.ts";
import type { Range } from "./characters.ts";
import type { Head, Rectangle } from "./reading.ts";

/** Scores of a strip: a MiB of them, so that between two strips the page is asked what it wants. */
const SCORES_OF_STRIP = 1 << 18;

/** Shares in cells. */
export interface Overview {
  readonly rectangle: Rectangle;
  readonly rows: number;
  readonly columns: number;
  /** `[rows, columns]`: how much of the attention of a cell's queries goes to its keys, 0 to 1. */
  readonly shares: Float32Array;
  /** Rows of cells that are done. */
  done: number;
}

/** Where cell `n` of `cells` begins in a range. */
export function cellStart([first, end]: Range, cells: number, n: number): number {
  return first + Math.floor((end - first) * n / cells);
}

/** The cell of a range that a place in it lies in. */
export function cellOf(range: Range, cells: number, place: number): number {
  let n = Math.floor((place - range[0]) * cells / (range[1] - range[0]));
  while (n + 1 < cells && cellStart(range, cells, n + 1) <= place) n++; // rounded down on both sides
  return n;
}

/** Fills an overview of at most `cells` × `cells` cells, from the top; yields it after each strip. */
export async function* overviewOf(
  head: Head,
  { rows, keys }: Rectangle,
  cells: number,
  engine: Engine,
): AsyncGenerator<Overview> {
  const down = Math.min(cells, rows[1] - rows[0]), across = Math.min(cells, keys[1] - keys[0]);
  const overview: Overview = {
    ...{ rectangle: { rows, keys }, rows: down, columns: across },
    shares: new Float32Array(down * across),
    done: 0,
  };
  const width = keys[1] - keys[0];
  const perStrip = Math.max(1, Math.floor(SCORES_OF_STRIP * down / (width * (rows[1] - rows[0]))));
  while (overview.done < down) {
    const to = Math.min(down, overview.done + perStrip);
    await fillStrip(head, overview, [overview.done, to], engine);
    overview.done = to;
    yield overview;
  }
}

async function fillStrip(
  { q, k, lse }: Head,
  { rectangle: { rows, keys }, rows: down, columns, shares }: Overview,
  [from, to]: Range,
  engine: Engine,
): Promise<void> {
  const first = cellStart(rows, down, from), end = cellStart(rows, down, to);
  const seen = Math.min(keys[1], end); // causal: keys behind the last query of the strip are hidden
  if (seen <= keys[0]) return;
  const probabilities = floats(
    await attentionScores(q, k, {
      ...{ causal: true, stage: "probabilities", lse, engine },
      ...{ rows: [first, end], keys: [keys[0], seen] },
    }),
  );
  const width = seen - keys[0], cellOfKey = new Int32Array(width);
  for (let n = 0; n < width; n++) {
    cellOfKey[n] = cellOf(keys, columns, keys[0] + n);
  }
  for (let cell = from; cell < to; cell++) {
    const top = cellStart(rows, down, cell), bottom = cellStart(rows, down, cell + 1);
    const each = 1 / (bottom - top), at = cell * columns;
    for (let row = top; row < bottom; row++) {
      const line = (row - first) * width;
      for (let n = 0; n < width; n++) {
        shares[at + cellOfKey[n]!]! += probabilities[line + n]! * each;
      }
    }
  }
}

/** The rectangle around a middle that is `factor` times as large, inside of the text; at least `least` on a side. */
export function zoom(
  { rows, keys }: Rectangle,
  factor: number,
  length: number,
  middle: readonly [row: number, key: number] = [(rows[0] + rows[1]) / 2, (keys[0] + keys[1]) / 2],
  least = 4,
): Rectangle {
  const side = ([first, end]: Range, centre: number): Range => {
    const size = Math.max(
      Math.min(least, length),
      Math.min(length, Math.round((end - first) * factor)),
    );
    return inside(Math.round(centre - size * (centre - first) / (end - first)), size, length);
  };
  return { rows: side(rows, middle[0]), keys: side(keys, middle[1]) };
}

/** A rectangle moved by shares of its sides, inside of the text. */
export function pan(
  { rows, keys }: Rectangle,
  down: number,
  right: number,
  length: number,
): Rectangle {
  const side = ([first, end]: Range, by: number): Range =>
    inside(
      first +
        Math.sign(by) * Math.max(1, Math.round(Math.abs(by) * (end - first))),
      end - first,
      length,
    );
  return {
    rows: down === 0 ? rows : side(rows, down),
    keys: right === 0 ? keys : side(keys, right),
  };
}

function inside(first: number, size: number, length: number): Range {
  const from = Math.max(0, Math.min(length - size, first));
  return [from, from + size];
}
