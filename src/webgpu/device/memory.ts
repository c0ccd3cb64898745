// GPU buffers: counted, bounded by the budget, and kept for the next call once they are free. Work on a queue runs
// in order, so a buffer may be used again as soon as its last use was submitted.
import type { MemoryUse } from "../../backend/backend.ts";
import { type GpuBuffer, type GpuDevice, USAGE } from "./api.ts";

const STORAGE = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
const STAGING = USAGE.mapRead | USAGE.copyTarget;

/** Bytes that are kept for later calls. */
const KEPT_BYTES = 2 ** 28;

/** Sizes come in grades of a quarter of a power of two, so that buffers of like calls fit again. */
export function roundUp(bytes: number): number {
  const grade = Math.max(256, 2 ** (Math.floor(Math.log2(Math.max(1, bytes))) - 2));
  return Math.ceil(Math.max(1, bytes) / grade) * grade;
}

/** What a buffer is at least: a multiple of four, and what the largest element needs. */
const exactly = (bytes: number) => Math.max(16, Math.ceil(bytes / 4) * 4);

/** What gives out buffers. */
export interface BufferPool {
  /** Whether the engine was disposed. */
  readonly closed: boolean;
  /** A buffer of at least `bytes`; what it holds is undefined. */
  take(bytes: number, staging?: boolean): GpuBuffer;
  /** A buffer for a tensor, which is as large as its values. */
  takeExactly(bytes: number): GpuBuffer;
  /** Takes a buffer back, for the next one that fits. */
  give(buffer: GpuBuffer): void;
  /** The same of one that nobody may have again. */
  discard(buffer: GpuBuffer): void;
}

/** All buffers of an engine. */
export class GpuMemory implements BufferPool {
  readonly #device: GpuDevice;
  readonly #largest: number;
  readonly #budget: number;
  readonly #free = new Map<string, GpuBuffer[]>();
  #closed = false;
  #kept = 0;
  #used = 0;
  #peak = 0;
  /** Outcomes of allocations that nobody has asked for yet. */
  #pending: Promise<{ bytes: number; message: string } | undefined>[] = [];

  constructor(device: GpuDevice, largest: number, budget: number) {
    this.#device = device;
    this.#largest = largest;
    this.#budget = budget;
  }

  /** Bytes that there may be in all. */
  get budget(): number {
    return this.#budget;
  }

  /** Bytes in total, in use, and at the peak. */
  get use(): MemoryUse {
    return { total: this.#used + this.#kept, used: this.#used, peak: this.#peak };
  }

  #outOfMemory(bytes: number, why: string): RangeError {
    return new RangeError(`Cannot allocate ${bytes} bytes of GPU memory: ${why}`);
  }

  /** A new buffer. Throws when it is too large; a device without room says so in `settle`. */
  create(bytes: number, usage: number = STORAGE): GpuBuffer {
    const size = exactly(bytes);
    if (size > this.#largest) {
      throw this.#outOfMemory(bytes, `a buffer of this device holds ${this.#largest}`);
    }
    if (this.#used + this.#kept + size > this.#budget) this.#drop();
    if (this.#used + size > this.#budget) {
      throw this.#outOfMemory(
        bytes,
        `${this.#used} of the ${this.#budget} of memoryBudget are in use`,
      );
    }
    this.#device.pushErrorScope("out-of-memory");
    const buffer = this.#device.createBuffer({ size, usage });
    this.#pending.push(
      this.#device.popErrorScope().then(
        (error) => error ? { bytes, message: error.message } : undefined,
        () => undefined,
      ),
    );
    this.#count(size);
    return buffer;
  }

  #count(bytes: number): void {
    this.#used += bytes;
    this.#peak = Math.max(this.#peak, this.#used);
  }

  /** Rejects when the device had no room for a buffer made since the last time. */
  async settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const outcome of await Promise.all(pending)) {
      if (outcome) throw this.#outOfMemory(outcome.bytes, outcome.message);
    }
  }

  /** A buffer of at least `bytes`; what it holds is undefined. */
  take(bytes: number, staging = false): GpuBuffer {
    const rounded = roundUp(bytes), room = Math.min(this.#largest, this.#budget - this.#used);
    // near a limit exactly what is needed
    const size = rounded <= room ? rounded : exactly(bytes);
    return this.#take(size, staging ? STAGING : STORAGE | USAGE.uniform);
  }

  /** A buffer for a tensor, which is as large as its values: programs that are handed it read all of it. */
  takeExactly(bytes: number): GpuBuffer {
    return this.#take(exactly(bytes), STORAGE | USAGE.uniform);
  }

  #take(size: number, usage: number): GpuBuffer {
    const key = `${size} ${usage}`, list = this.#free.get(key), buffer = list?.pop();
    if (!buffer) return this.create(size, usage);
    if (list!.length === 0) this.#free.delete(key);
    this.#kept -= buffer.size;
    this.#count(buffer.size);
    return buffer;
  }

  /** Takes a buffer back, for the next one that fits. */
  give(buffer: GpuBuffer): void {
    const { size, usage } = buffer, key = `${size} ${usage}`;
    this.#used -= size;
    if (size > KEPT_BYTES) return buffer.destroy();
    while (this.#kept + size > KEPT_BYTES) this.#dropOldest();
    this.#kept += size;
    const list = this.#free.get(key) ?? [];
    list.push(buffer);
    this.#free.delete(key); // and to the end: the first is the size not given back for longest
    this.#free.set(key, list);
  }

  /** Takes a buffer back and destroys it. */
  discard(buffer: GpuBuffer): void {
    this.#used -= buffer.size;
    buffer.destroy();
  }

  /** Destroys a buffer of the size that was not given back for longest: lengths that grow leave sizes nobody wants. */
  #dropOldest(): void {
    const [key, list] = this.#free.entries().next().value!, buffer = list.shift()!;
    if (list.length === 0) this.#free.delete(key);
    this.#kept -= buffer.size;
    buffer.destroy();
  }

  /** Destroys what is kept. */
  #drop(): void {
    for (const list of this.#free.values()) for (const buffer of list) buffer.destroy();
    this.#free.clear();
    this.#kept = 0;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Gives everything back that no tensor holds. */
  dispose(): void {
    this.#closed = true;
    this.#drop();
  }
}
