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

/** What buffers that can stand for each other have in common. */
const keyOf = ({ size, usage }: Pick<GpuBuffer, "size" | "usage">) => `${size} ${usage}`;

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
  /** What the device has not yet said of new buffers. */
  readonly #pending = new Set<Promise<void>>();
  /** Buffers that it had no room for: nothing can be done with them. */
  readonly #void = new WeakSet<GpuBuffer>();
  /** The first of those that nobody has heard of. */
  #full: RangeError | undefined;

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

  /** A new buffer. Throws when it is too large; a device without room says so later: see `takeError`. */
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
    const outcome = this.#device.popErrorScope().then((error) => {
      if (!error) return;
      this.#full ??= this.#outOfMemory(bytes, error.message);
      this.#avoid(buffer);
    }, () => {}) // of a device that was lost
      .finally(() => this.#pending.delete(outcome));
    this.#pending.add(outcome);
    this.#count(size);
    return buffer;
  }

  /** Never gives out a buffer again that is none, whether it was given back by now or will be. */
  #avoid(buffer: GpuBuffer): void {
    this.#void.add(buffer);
    const key = keyOf(buffer), list = this.#free.get(key), at = list?.indexOf(buffer) ?? -1;
    if (at < 0) return;
    list!.splice(at, 1);
    if (list!.length === 0) this.#free.delete(key);
    this.#kept -= buffer.size;
    buffer.destroy();
  }

  #count(bytes: number): void {
    this.#used += bytes;
    this.#peak = Math.max(this.#peak, this.#used);
  }

  /** Waits for what the device says of the buffers so far. */
  async heard(): Promise<void> {
    await Promise.all(this.#pending);
  }

  /** The error of a buffer that the device had no room for; it is then forgotten. */
  takeError(): RangeError | undefined {
    const full = this.#full;
    this.#full = undefined;
    return full;
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
    const key = keyOf({ size, usage }), list = this.#free.get(key), buffer = list?.pop();
    if (!buffer) return this.create(size, usage);
    if (list!.length === 0) this.#free.delete(key);
    this.#kept -= buffer.size;
    this.#count(buffer.size);
    return buffer;
  }

  /** Takes a buffer back, for the next one that fits. */
  give(buffer: GpuBuffer): void {
    if (this.#void.has(buffer)) return this.discard(buffer);
    const { size } = buffer, key = keyOf(buffer);
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
