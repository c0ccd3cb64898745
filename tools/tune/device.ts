/**
 * The device of a sweep: opened as the library opens it, with its own parts at hand, since a sweep
 * asks for kernels that no option of the library names.
 * @module
 */

import { detect, type OpenDevice } from "../../src/webgpu/device/device.ts";
import { GpuMemory } from "../../src/webgpu/device/memory.ts";
import { Pipelines } from "../../src/webgpu/device/pipelines.ts";
import type { Recording } from "../../src/webgpu/dispatch/submit.ts";
import { GpuTensor, type Home, upload } from "../../src/webgpu/device/tensors.ts";
import { GpuClock } from "../../bench/measure/gpu_clock.ts";
import { checked, reportErrors } from "../../bench/measure/gpu_device.ts";

/** Pipelines are kept as long as they may be asked for again. */
export class SweepDevice {
  readonly open: OpenDevice;
  readonly device: GPUDevice;
  readonly home: Home & { readonly memory: GpuMemory };
  readonly clock: GpuClock;
  pipelines: Pipelines;

  private constructor(open: OpenDevice) {
    this.open = open;
    this.device = open.device as unknown as GPUDevice;
    this.home = { open, memory: new GpuMemory(open.device, open.target.limits.buffer, 2 ** 40) };
    open.room = this.home.memory;
    this.clock = new GpuClock(this.device, open.target.software);
    this.pipelines = new Pipelines(open.device);
    reportErrors(this.device);
  }

  static async open(): Promise<SweepDevice> {
    const found = await detect({ allowFallbackAdapter: true });
    if ("absent" in found) throw new Error(found.absent);
    return new SweepDevice(found.open);
  }

  /** The kernels so far are not asked for again. */
  forgetPipelines(): void {
    this.pipelines = new Pipelines(this.open.device);
  }

  tensor(data: Float32Array, shape: readonly number[], dtype: "f32" | "f16"): GpuTensor {
    const tensor = new GpuTensor(this.home, shape, dtype);
    const stored = dtype === "f32"
      ? data
      : new Uint16Array(new Float16Array(data).buffer as ArrayBuffer);
    upload(this.home, tensor.buffer, 0, stored);
    return tensor;
  }

  /** Submits in pieces, waits for the end, and throws what the device says; milliseconds. */
  async run(recording: Recording): Promise<number> {
    const start = performance.now();
    await checked(this.device, async () => {
      await recording.submit("sweep", undefined);
      await this.device.queue.onSubmittedWorkDone();
    });
    return performance.now() - start;
  }
}
