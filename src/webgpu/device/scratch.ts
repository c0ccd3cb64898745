// Scratch of one call: buffers from the pool, which go back to it together.
import type { GpuBuffer } from "./api.ts";
import type { BufferPool } from "./memory.ts";

/** A buffer of scratch, and the bytes that were asked for. */
export interface ScratchBuffer {
  readonly buffer: GpuBuffer;
  readonly bytes: number;
}

/** The scratch of a call. */
export class Scratch {
  readonly #memory: BufferPool;
  readonly #taken: ScratchBuffer[] = [];

  constructor(memory: BufferPool) {
    this.#memory = memory;
  }

  /** What was taken so far, in order. */
  get taken(): readonly ScratchBuffer[] {
    return this.#taken;
  }

  /** A buffer that lives as long as the call. */
  take(bytes: number): GpuBuffer {
    const buffer = this.#memory.take(bytes);
    this.#taken.push({ buffer, bytes });
    return buffer;
  }

  /** Gives all of it back: after the last submission that uses it. */
  give(): void {
    for (const { buffer } of this.#taken) this.#memory.give(buffer);
    this.#taken.length = 0;
  }
}
