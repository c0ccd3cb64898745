/** The keys and values of all layers: one cache each, all with the same sequences. */
import type { Engine, KvCache } from "../../mod.ts";
import type { ModelShape } from "./weights.ts";

export type CacheType = "f32" | "f16" | "bf16" | "i8";

export interface CacheOptions {
  /** Sequences at once. */
  sequences: number;
  dtype: CacheType;
  /** Rows that may be held: of each sequence, or in pages that all take from. */
  room: { capacity: number } | { pageSize: number; pages: number };
}

export class Caches implements Disposable {
  readonly layers: readonly KvCache[];
  /** Rows that all sequences together may hold. */
  readonly rows: number;
  readonly #room: CacheOptions["room"];

  constructor(engine: Engine, shape: ModelShape, { sequences, dtype, room }: CacheOptions) {
    const { kvHeads, headDim } = shape;
    const options = { sequences, kvHeads, headDim, dtype, ...room };
    this.#room = room;
    this.rows = "pages" in room ? room.pages * room.pageSize : sequences * room.capacity;
    this.layers = Array.from({ length: shape.layers }, () => engine.kvCache(options));
  }

  /** Rows that a sequence of so many tokens takes from the others; undefined where none may be so long. */
  rowsFor(tokens: number): number | undefined {
    const room = this.#room;
    const whole = "pages" in room
      ? Math.ceil(tokens / room.pageSize) * room.pageSize
      : room.capacity;
    return tokens <= whole && whole <= this.rows ? whole : undefined;
  }

  /** Tokens held of a sequence. */
  length(sequence: number): number {
    return this.layers[0]!.length(sequence);
  }

  /** The lowest sequence that holds nothing, and is not one of `taken`. */
  lowestEmpty(taken: ReadonlySet<number | undefined>): number {
    return this.layers[0]!.lengths.findIndex((length, s) => length === 0 && !taken.has(s));
  }

  /** Bytes that the caches hold. */
  get bytes(): number {
    return this.layers.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** A new sequence with the first `length` tokens of another; returns its number. */
  async fork(sequence: number, length: number): Promise<number> {
    let made = -1;
    for (const layer of this.layers) {
      made = await layer.fork(sequence); // the lowest empty one, so the same in every layer
      layer.truncate(made, length);
    }
    return made;
  }

  truncate(sequence: number, length: number): void {
    for (const layer of this.layers) {
      if (layer.length(sequence) > length) layer.truncate(sequence, length);
    }
  }

  free(sequence: number): void {
    for (const layer of this.layers) layer.free(sequence);
  }

  [Symbol.dispose](): void {
    for (const layer of this.layers) layer.dispose();
  }
}
