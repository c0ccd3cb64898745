// Which pages each sequence of a cache has. Forks share pages, which are copied when one of them writes; pages that nobody
// has are free. In a contiguous cache a page is all the room of its sequence.
import type { Complaint } from "../tensor/errors.ts";
import type { PageTable } from "../tensor/pages.ts";
import type { CacheShape } from "./cache_options.ts";

/** A page to be copied before it is written. */
export interface PageCopy {
  readonly from: number;
  readonly to: number;
}

/** What `grow` did. */
export interface Growth {
  /** Pages to be copied before they are written. */
  readonly copies: readonly PageCopy[];
  /** Makes it as if nothing had grown: for rows that could not be stored. */
  undo(): void;
}

/** The lowest sequence without rows but `other`. */
export function emptySequence(lengths: Int32Array, other: number, complaint: Complaint): number {
  const found = lengths.findIndex((length, s) => length === 0 && s !== other);
  if (found >= 0) return found;
  throw complaint.range(
    `all ${lengths.length} sequences of the cache hold rows, and an empty one was wanted: free one`,
  );
}

/** Pages and lengths of all sequences. */
export class PageTables {
  readonly lengths: Int32Array;
  readonly #rows: number;
  readonly #paged: boolean;
  readonly #pages: number[][];
  /** Sequences that have a page, for each page. */
  readonly #users: Uint32Array;
  /** Pages that nobody has, the next one last. */
  readonly #free: number[];
  /** Rows of pages that sequences left for a copy while a call was reading, which may still see them there. */
  readonly #left = new Map<number, number>();

  constructor({ sequences, paged, keys: { pages, rows } }: CacheShape) {
    this.lengths = new Int32Array(sequences);
    this.#rows = rows;
    this.#paged = paged;
    this.#pages = Array.from({ length: sequences }, () => []);
    this.#users = new Uint32Array(pages);
    this.#free = paged ? Array.from({ length: pages }, (_, n) => pages - 1 - n) : [];
  }

  /** Pages that nobody has; of a contiguous cache, sequences without rows. */
  get free(): number {
    if (this.#paged) return this.#free.length;
    return this.lengths.reduce((n, length) => length === 0 ? n + 1 : n, 0);
  }

  /** Rows that two sequences share: those in the pages that both begin with. */
  shared(a: number, b: number): number {
    const [first, second] = [this.#pages[a]!, this.#pages[b]!];
    const apart = first.findIndex((page, n) => page !== second[n]);
    const pages = apart < 0 ? first.length : apart;
    return Math.min(pages * this.#rows, this.lengths[a]!, this.lengths[b]!);
  }

  /** The pages of a sequence, in the order of its rows. */
  pagesOf(sequence: number): readonly number[] {
    return this.#pages[sequence]!;
  }

  /** The table of some sequences for a call. */
  table(sequences: readonly number[]): PageTable {
    const lists = sequences.map((s) => this.#pages[s]!);
    const columns = lists.reduce((most, { length }) => Math.max(most, length), 1);
    const numbers = new Int32Array(columns * lists.length);
    lists.forEach((list, n) => numbers.set(list, n * columns));
    const lengths = sequences.map((s) => this.lengths[s]!);
    return { rows: this.#rows, numbers, columns, lengths, first: 0 };
  }

  /** The lowest sequence without rows but `other`. */
  empty(other: number, complaint: Complaint): number {
    return emptySequence(this.lengths, other, complaint);
  }

  /** Whether a page that is written next is not the sequence's alone. */
  #isShared(sequence: number): boolean {
    const length = this.lengths[sequence]!,
      page = this.#pages[sequence]![Math.floor(length / this.#rows)];
    return length % this.#rows > 0 && this.#users[page!]! > 1;
  }

  /** Throws unless there is room for so many more rows of each sequence. */
  #checkRoom(sequences: readonly number[], rows: readonly number[], complaint: Complaint): void {
    if (!this.#paged) {
      sequences.forEach((s, n) => {
        const held = this.lengths[s]!;
        if (held + rows[n]! <= this.#rows) return;
        throw complaint.range(
          `sequence ${s} holds ${held} rows and ${rows[n]} more were asked for, but ` +
            `${this.#rows - held} of its capacity ${this.#rows} are free`,
        );
      });
      return;
    }
    const wanted = this.pagesFor(sequences, rows);
    if (wanted <= this.#free.length) return;
    const held = this.lengths.reduce((sum, length) => sum + length, 0);
    const asked = rows.reduce((sum, n) => sum + n, 0);
    throw complaint.range(
      `the cache holds ${held} rows and ${asked} more were asked for, which need ${wanted} pages of ` +
        `${this.#rows} rows, but ${this.#free.length} of ${this.#users.length} pages are free`,
    );
  }

  /** Pages that so many more rows of each sequence take, copies of shared ones included; of a cache with pages. */
  pagesFor(sequences: readonly number[], rows: readonly number[]): number {
    let wanted = 0;
    const users = new Map<number, number>(); // of pages of which a copy would be taken
    sequences.forEach((s, n) => {
      const length = this.lengths[s]!, last = this.#pages[s]![Math.floor(length / this.#rows)];
      wanted += Math.ceil((length + rows[n]!) / this.#rows) - Math.ceil(length / this.#rows);
      if (rows[n] === 0 || !this.#isShared(s)) return;
      const left = users.get(last!) ?? this.#users[last!]!;
      if (left > 1) wanted++; // the last one of them keeps it
      users.set(last!, left - 1);
    });
    return wanted;
  }

  /** No call reads: whatever is in a page beside rows of its sequences may be written over. */
  settle(): void {
    this.#left.clear();
  }

  /** Throws where a call that is reading may see rows that would be written over. */
  #checkSeen(sequences: readonly number[], rows: readonly number[], complaint: Complaint): void {
    const users = new Map<number, number>(), left = new Map(this.#left);
    sequences.forEach((s, n) => {
      const length = this.lengths[s]!, held = length % this.#rows;
      if (rows[n] === 0 || held === 0) return;
      const page = this.#pages[s]![Math.floor(length / this.#rows)]!, seen = left.get(page) ?? 0;
      const sharing = users.get(page) ?? this.#users[page]!;
      if (sharing > 1) { // it gets a copy
        users.set(page, sharing - 1);
        left.set(page, Math.max(seen, held));
      } else if (seen > held) {
        throw complaint.type(
          `a call that reads the cache is under way, and may see rows that sequence ${s} would ` +
            "write over, await it first",
        );
      }
    });
    for (const [page, held] of left) this.#left.set(page, held);
  }

  #take(sequence: number): number {
    const page = this.#paged ? this.#free.pop()! : sequence;
    this.#users[page] = 1;
    return page;
  }

  #give(page: number): void {
    if (--this.#users[page]! > 0 || !this.#paged) return;
    this.#free.push(page);
  }

  /**
   * Makes room for so many more rows of each sequence and counts them as there. Throws where there is no room, or where a
   * call that is `reading` needs it; then nothing has changed.
   */
  grow(
    sequences: readonly number[],
    rows: readonly number[],
    complaint: Complaint,
    reading = false,
  ): Growth {
    this.#checkRoom(sequences, rows, complaint);
    if (reading) this.#checkSeen(sequences, rows, complaint);
    else this.settle();
    const copies: PageCopy[] = [], begin = sequences.map((s) => this.lengths[s]!);
    sequences.forEach((s, n) => {
      if (rows[n] === 0) return;
      const pages = this.#pages[s]!,
        length = this.lengths[s]!,
        last = Math.floor(length / this.#rows);
      if (this.#isShared(s)) {
        const from = pages[last]!, to = this.#take(s);
        this.#give(from);
        pages[last] = to;
        copies.push({ from, to });
      }
      const end = length + rows[n]!;
      while (pages.length * this.#rows < end) pages.push(this.#take(s));
      this.lengths[s] = end;
    });
    const undo = () => {
      sequences.forEach((s, n) => this.truncate(s, begin[n]!));
      // a copy may not have been made
      for (const { from, to } of copies) this.#share(from, to);
    };
    return { copies, undo };
  }

  /** Puts a page that others have in the place of its copy. */
  #share(page: number, copy: number): void {
    const pages = this.#pages.find((list) => list.at(-1) === copy)!;
    pages[pages.length - 1] = page;
    this.#users[page]!++;
    this.#give(copy);
  }

  /** Where row `row` of a sequence lies: its page times rows of a page, plus its row there. */
  place(sequence: number, row: number): number {
    return this.#pages[sequence]![Math.floor(row / this.#rows)]! * this.#rows + row % this.#rows;
  }

  /** Forgets the rows from `length` on. */
  truncate(sequence: number, length: number): void {
    const pages = this.#pages[sequence]!, kept = Math.ceil(length / this.#rows);
    for (const page of pages.splice(kept)) this.#give(page);
    this.lengths[sequence] = length;
  }

  /** Gives `target`, which is empty, the rows of `source`. The pages to be copied: none where they are shared. */
  fork(source: number, target: number): PageCopy[] {
    const pages = this.#pages[source]!;
    this.lengths[target] = this.lengths[source]!;
    if (this.#paged) {
      this.#pages[target] = [...pages];
      for (const page of pages) this.#users[page]!++;
      return [];
    }
    this.#pages[target] = pages.map(() => this.#take(target));
    return pages.map((from) => ({ from, to: target }));
  }
}
