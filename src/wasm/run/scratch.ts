// Scratch of threads: a block for each, which stays for the next call.
import { Control } from "../../../asm/abi.ts";
import { CONTROL_BYTE, type LinearMemory } from "../memory/linear_memory.ts";

/** Scratch of each thread, the calling one first. */
export class ThreadScratch {
  readonly #memory: LinearMemory;
  readonly #blocks: { pointer: number; bytes: number }[] = [];

  constructor(memory: LinearMemory) {
    this.#memory = memory;
  }

  /** That of the calling thread: read anew for each item, since a synchronous call in between may have needed more. */
  get own(): number {
    return this.#blocks[0]!.pointer;
  }

  /** Makes sure the first `threads` threads have scratch. No pool item may be running. */
  reserve(threads: number, bytes: number): void {
    for (let i = 0; i < threads; i++) {
      const have = this.#blocks[i];
      if (have && have.bytes >= bytes) continue;
      // the new one first: should memory be out, a call that is under way still has the old one
      const pointer = this.#memory.allocate(bytes);
      if (have) this.#memory.free(have.pointer);
      this.#blocks[i] = { pointer, bytes };
      // a view of now: the allocation may have grown the memory
      this.#memory.u32(CONTROL_BYTE, Control.Words)[Control.Scratch + i] = pointer;
    }
  }

  /** Gives all of it back: where memory is short and no call is under way. */
  release(): void {
    for (const { pointer } of this.#blocks.splice(0)) this.#memory.free(pointer);
  }
}
