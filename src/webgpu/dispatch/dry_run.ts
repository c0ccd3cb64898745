// What a call takes of the memory of a device, found without one: its steps are built with buffers that are only numbers.
import type { StoredValues } from "../../tensor/dtype.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { OpenDevice } from "../device/device.ts";
import { type BufferPool, roundUp } from "../device/memory.ts";
import type { Home } from "../device/tensors.ts";

/** A pool that only counts. */
export class CountingPool implements BufferPool {
  readonly closed = false;
  #used = 0;
  #peak = 0;

  /** The most bytes that were taken at a time. */
  get peak(): number {
    return this.#peak;
  }

  take(bytes: number): GpuBuffer {
    return this.takeExactly(roundUp(bytes));
  }

  takeExactly(bytes: number): GpuBuffer {
    const size = Math.max(16, Math.ceil(bytes / 4) * 4);
    this.#used += size;
    this.#peak = Math.max(this.#peak, this.#used);
    return { size } as GpuBuffer;
  }

  give({ size }: GpuBuffer): void {
    this.#used -= size;
  }

  discard(buffer: GpuBuffer): void {
    this.give(buffer);
  }
}

/** A place where nothing happens, with the limits of a device. */
export function dryHome({ target }: OpenDevice, memory: BufferPool): Home {
  const queue = { writeBuffer: (_: GpuBuffer, __: number, ___: StoredValues) => {} };
  return { open: { target, device: { queue } } as unknown as OpenDevice, memory };
}
