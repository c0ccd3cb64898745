// One block of memory for all that a call needs, where memory is short: it is there before work begins, or the call is
// refused, and nothing that others allocate meanwhile comes between.
import { FreeBlocks, GRAIN } from "./free_blocks.ts";
import type { LinearMemory } from "./linear_memory.ts";

/** What gives out blocks: a whole memory, or a part of it. */
export interface Heap {
  /** A block of at least `bytes` bytes, at a multiple of a cache line. */
  allocate(bytes: number): number;
  /** Gives a block back. */
  free(pointer: number): void;
}

/** Bytes that a block takes. */
export function blockBytes(bytes: number): number {
  return Math.max(GRAIN, Math.ceil(bytes / GRAIN) * GRAIN);
}

/** A part of a memory. */
export class Arena implements Heap {
  readonly #memory: LinearMemory;
  readonly #begin: number;
  readonly #bytes: number;
  readonly #free = new FreeBlocks();
  readonly #sizes = new Map<number, number>();

  /** Throws a RangeError when the memory has no room. */
  constructor(memory: LinearMemory, bytes: number) {
    this.#memory = memory;
    this.#bytes = blockBytes(bytes);
    this.#begin = memory.allocate(this.#bytes);
    this.#free.add(this.#begin, this.#begin + this.#bytes);
  }

  allocate(bytes: number): number {
    const size = blockBytes(bytes), pointer = this.#free.take(size);
    if (pointer === undefined) {
      throw new Error(`a plan of ${this.#bytes} bytes has no room for ${size} more`);
    }
    this.#sizes.set(pointer, size);
    return pointer;
  }

  free(pointer: number): void {
    const size = this.#sizes.get(pointer);
    if (size === undefined) return;
    this.#sizes.delete(pointer);
    this.#free.add(pointer, pointer + size);
  }

  /** Gives the block back. */
  dispose(): void {
    this.#memory.free(this.#begin);
  }
}
