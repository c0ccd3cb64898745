// Verdicts about the blocks of a grid, and about squares of 2 × 2, 4 × 4 and more of them: two bits each, so that a
// grid of 8192 × 8192 blocks has 21 MiB. A square of one verdict says it for all that lies within.
import { ALWAYS, type Classifier, MIXED, NEVER, type Verdict } from "./verdict.ts";

/** Of a square whose blocks differ. */
const VARIED = 3;

/** Verdicts of a word of a level: of sixteen squares side by side. */
export const VERDICTS_OF_WORD = 16;

/** The squares of one size. */
interface Level {
  readonly rows: number;
  readonly columns: number;
  /** Words of a row. */
  readonly pitch: number;
  readonly words: Int32Array<ArrayBuffer>;
}

function levelOf(rows: number, columns: number): Level {
  const pitch = Math.ceil(columns / VERDICTS_OF_WORD);
  return { rows, columns, pitch, words: new Int32Array(rows * pitch) };
}

function get({ pitch, words }: Level, row: number, column: number): number {
  return words[row * pitch + (column >> 4)]! >>> ((column & 15) << 1) & 3;
}

function put({ pitch, words }: Level, row: number, column: number, verdict: number): void {
  const at = row * pitch + (column >> 4), shift = (column & 15) << 1;
  words[at] = words[at]! & ~(3 << shift) | verdict << shift;
}

/** Blocks by what they hold. */
export interface BlockCounts {
  /** Without a visible pair. */
  readonly empty: number;
  /** With visible and hidden pairs, as far as is known. */
  readonly partial: number;
  /** With visible pairs only. */
  readonly full: number;
}

/** The blocks of one head of a sequence. What a square of one verdict holds is not written. */
export class BlockGrid {
  readonly rows: number;
  readonly columns: number;
  readonly #levels: Level[] = [];
  // the rectangle of blocks that is looked at
  #top = 0;
  #bottom = 0;
  #left = 0;
  #right = 0;

  constructor(rows: number, columns: number) {
    this.rows = rows;
    this.columns = columns;
    const next = (n: number) => Math.ceil(n / 2);
    let level = levelOf(rows, columns);
    this.#levels.push(level);
    for (; level.rows > 1 || level.columns > 1; this.#levels.push(level)) {
      level = levelOf(next(level.rows), next(level.columns));
    }
  }

  /** Asks about squares of blocks, and about their quarters where they are mixed. Returns how often it asked. */
  classify(verdictOf: Classifier): number {
    let asked = 0;
    const visit = (level: number, row: number, column: number): number | undefined => {
      const size = 2 ** level, top = row * size, left = column * size;
      if (top >= this.rows || left >= this.columns) return undefined;
      asked++;
      const bottom = Math.min(this.rows, top + size), right = Math.min(this.columns, left + size);
      let verdict: number = verdictOf(top, bottom, left, right);
      if (verdict === MIXED && level > 0) {
        for (let n = 0; n < 4; n++) {
          const part = visit(level - 1, 2 * row + (n >> 1), 2 * column + (n & 1));
          if (n === 0) verdict = part!;
          else if (part !== undefined && part !== verdict) verdict = VARIED;
        }
      }
      put(this.#levels[level]!, row, column, verdict);
      return verdict;
    };
    visit(this.#levels.length - 1, 0, 0);
    return asked;
  }

  /** Sets the verdict of a block of a grid that is filled block by block. */
  set(row: number, column: number, verdict: Verdict): void {
    put(this.#levels[0]!, row, column, verdict);
  }

  /** Whether a block was set. */
  has(row: number, column: number): boolean {
    return get(this.#levels[0]!, row, column) !== NEVER;
  }

  /** Finds the verdicts of squares once all blocks are set. */
  close(): void {
    for (let n = 1; n < this.#levels.length; n++) {
      const level = this.#levels[n]!, below = this.#levels[n - 1]!;
      for (let row = 0; row < level.rows; row++) {
        for (let word = 0; word < level.pitch; word++) this.#join(below, level, row, word);
      }
    }
  }

  /** Sixteen squares from the quarters that they have in the grid; most are empty as a whole. */
  #join(below: Level, level: Level, row: number, word: number): void {
    const first = 2 * row * below.pitch + 2 * word, last = 2 * row + 1 < below.rows;
    const more = 2 * word + 1 < below.pitch;
    const any = below.words[first]! | (more ? below.words[first + 1]! : 0) |
      (last ? below.words[first + below.pitch]! : 0) |
      (last && more ? below.words[first + below.pitch + 1]! : 0);
    if (any === 0) return;
    const end = Math.min(level.columns, (word + 1) * VERDICTS_OF_WORD);
    for (let column = word * VERDICTS_OF_WORD; column < end; column++) {
      const verdict = get(below, 2 * row, 2 * column);
      let alike = true;
      for (let n = 1; n < 4; n++) {
        const r = 2 * row + (n >> 1), c = 2 * column + (n & 1);
        if (r < below.rows && c < below.columns) alike &&= get(below, r, c) === verdict;
      }
      put(level, row, column, alike ? verdict : VARIED);
    }
  }

  /** The verdicts of single blocks, sixteen a word, of a grid that was filled block by block. */
  get words(): { readonly data: Int32Array<ArrayBuffer>; readonly pitch: number } {
    const { words, pitch } = this.#levels[0]!;
    return { data: words, pitch };
  }

  /** The verdict that all blocks of a rectangle have, which must not be empty; undefined where they differ. */
  over(top: number, bottom: number, left: number, right: number): Verdict | undefined {
    this.#top = top;
    this.#bottom = bottom;
    this.#left = left;
    this.#right = right;
    // squares that hold all of it, without calls: most of what is asked lies in one
    let level = this.#levels.length - 1;
    for (;; level--) {
      const own = get(this.#levels[level]!, top >> level, left >> level);
      if (own !== VARIED) return own as Verdict;
      const half = level - 1;
      if (top >> half !== (bottom - 1) >> half || left >> half !== (right - 1) >> half) break;
    }
    return this.#look(level, top >> level, left >> level);
  }

  #look(level: number, row: number, column: number): Verdict | undefined {
    const own = get(this.#levels[level]!, row, column);
    if (own !== VARIED) return own as Verdict;
    const half = level - 1, size = 1 << half;
    let found: Verdict | undefined;
    for (let r = 2 * row; r < 2 * row + 2; r++) {
      if (r * size >= this.#bottom || (r + 1) * size <= this.#top) continue;
      for (let c = 2 * column; c < 2 * column + 2; c++) {
        if (c * size >= this.#right || (c + 1) * size <= this.#left) continue;
        const verdict = this.#look(half, r, c);
        if (verdict === undefined || (found !== undefined && found !== verdict)) return undefined;
        found = verdict;
      }
    }
    return found;
  }

  /** Counts the blocks of a rectangle. */
  count(top: number, bottom: number, left: number, right: number): BlockCounts {
    const counts: [number, number, number] = [0, 0, 0];
    const overlap = (at: number, size: number, from: number, to: number) =>
      Math.max(0, Math.min(to, at + size) - Math.max(from, at));
    const visit = (level: number, row: number, column: number): void => {
      const size = 2 ** level;
      const area = overlap(row * size, size, top, bottom) *
        overlap(column * size, size, left, right);
      if (area === 0) return;
      const verdict = get(this.#levels[level]!, row, column);
      if (verdict !== VARIED) counts[verdict as Verdict] += area;
      else for (let n = 0; n < 4; n++) visit(level - 1, 2 * row + (n >> 1), 2 * column + (n & 1));
    };
    visit(this.#levels.length - 1, 0, 0);
    return { empty: counts[NEVER], partial: counts[MIXED], full: counts[ALWAYS] };
  }
}
