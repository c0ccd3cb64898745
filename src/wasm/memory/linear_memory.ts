// The linear memory of an engine: an allocator over it, and typed views that survive growth.
// Blocks are aligned to cache lines. Freed blocks are joined and used again, so a steady stream of calls
// does not grow the memory; it grows by whole wasm pages only when nothing fits.
import type { MemoryUse } from "../../backend/backend.ts";
import { FreeBlocks, GRAIN } from "./free_blocks.ts";

const PAGE = 65536;
/** What 32 bits address. */
const MOST_BYTES = 2 ** 32;
/** Where the heap begins: the first page holds the kernels' constants and the control block. */
export const HEAP_BYTE: number = PAGE;
/** Where the control block begins; asm's static data ends far below. */
export const CONTROL_BYTE: number = 49152;

const up = (n: number, to: number): number => Math.ceil(n / to) * to;

/** Linear memory with an allocator. */
export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly shared: boolean;
  /** Pages that it may grow to. */
  readonly maximum: number;
  readonly #budget: number;
  readonly #sizes = new Map<number, number>();
  readonly #free = new FreeBlocks();
  #used = 0;
  #peak = 0;
  /** Whether the engine was disposed: nobody reads or writes tensors then. */
  closed = false;

  constructor(shared: boolean, budget: number) {
    this.shared = shared;
    this.#budget = budget;
    // the kernels' import takes up to 4 GiB; some hosts reserve address space for all of the maximum
    const maximum = this.maximum = Math.max(1, Math.min(65536, Math.floor(budget / PAGE)));
    try {
      this.memory = new WebAssembly.Memory({ initial: 1, maximum, shared });
    } catch (cause) {
      throw new RangeError(
        `Cannot run createEngine: no address space is left for a memory of up to ${
          maximum * PAGE
        } ` +
          "bytes; dispose of engines that are no longer needed, or pass a smaller memoryBudget",
        { cause },
      );
    }
  }

  /** Bytes in total, in use and at the peak. */
  get use(): MemoryUse {
    return { total: this.memory.buffer.byteLength, used: this.#used, peak: this.#peak };
  }

  /** Bytes that it may have in all. */
  get budget(): number {
    return Math.floor(Math.min(this.#budget, MOST_BYTES) / PAGE) * PAGE;
  }

  /** Bytes that can be had in one piece, as far as the budget goes. */
  get room(): number {
    const end = this.memory.buffer.byteLength;
    return Math.max(this.#free.largest, this.#free.before(end) + this.budget - end);
  }

  /** The smallest budget with room for so many bytes in one piece beside what is there. */
  budgetFor(bytes: number): number {
    const end = this.memory.buffer.byteLength;
    return up(end - this.#free.before(end) + bytes, PAGE);
  }

  #grow(bytes: number): void {
    const end = this.memory.buffer.byteLength;
    const pages = Math.ceil((bytes - this.#free.before(end)) / PAGE);
    const after = end + pages * PAGE;
    if (after > this.#budget) {
      throw new RangeError(
        `Cannot allocate ${bytes} bytes: engine memory would grow to ${after} bytes ` +
          `but memoryBudget is ${this.#budget}`,
      );
    }
    try {
      this.memory.grow(pages);
    } catch (cause) {
      throw new RangeError(
        `Cannot allocate ${bytes} bytes: engine memory of ${end} bytes cannot grow to ${after}`,
        { cause },
      );
    }
    this.#free.add(end, after);
  }

  /** A block of at least `bytes` bytes. Throws a RangeError with the bytes when memory is out. */
  allocate(bytes: number): number {
    const size = Math.max(GRAIN, up(bytes, GRAIN));
    let begin = this.#free.take(size);
    if (begin === undefined) {
      this.#grow(size);
      begin = this.#free.take(size)!;
    }
    this.#sizes.set(begin, size);
    this.#used += size;
    this.#peak = Math.max(this.#peak, this.#used);
    return begin;
  }

  /** Gives a block back. */
  free(pointer: number): void {
    const size = this.#sizes.get(pointer);
    if (size === undefined) return;
    this.#sizes.delete(pointer);
    this.#used -= size;
    this.#free.add(pointer, pointer + size);
  }

  /** Views are made anew: growth leaves old ones detached or short. */
  f32(pointer: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, pointer, length);
  }

  /** 32-bit integers at a pointer. */
  i32(pointer: number, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, pointer, length);
  }

  /** 32-bit words at a pointer. */
  u32(pointer: number, length: number): Uint32Array {
    return new Uint32Array(this.memory.buffer, pointer, length);
  }

  /** 16-bit words at a pointer. */
  u16(pointer: number, length: number): Uint16Array {
    return new Uint16Array(this.memory.buffer, pointer, length);
  }

  /** Bytes at a pointer. */
  u8(pointer: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, pointer, length);
  }
}
