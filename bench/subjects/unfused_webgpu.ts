/**
 * Attention as three kernels that write the whole score matrix: what a competent person would write
 * before knowing better. The rival that goals.md asks for, in the same harness.
 * @module
 */

import { type Case, type Operands, shapes } from "../cases.ts";
import type { GpuWork } from "../measure/gpu_clock.ts";
import { bind, pipeline, readBack, storage, uniform, upload } from "../measure/gpu_device.ts";
import { OUTPUT, SCORES, SOFTMAX, TILE } from "./unfused_wgsl.ts";

interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly size: readonly [number, number, number];
}

export class UnfusedOnGpu {
  readonly #device: GPUDevice;
  readonly #out: GPUBuffer;
  readonly #dispatches: readonly Dispatch[];
  readonly #buffers: readonly GPUBuffer[];
  /** Bytes of scores that exist at a time. */
  readonly matrixBytes: number;

  private constructor(
    device: GPUDevice,
    dispatches: readonly Dispatch[],
    { scores, out, others }: { scores: GPUBuffer; out: GPUBuffer; others: GPUBuffer[] },
  ) {
    this.#device = device;
    this.#out = out;
    this.#dispatches = dispatches;
    this.#buffers = [scores, out, ...others];
    this.matrixBytes = scores.size;
  }

  static async create(
    device: GPUDevice,
    c: Case,
    data: Operands,
    causal: boolean,
  ): Promise<UnfusedOnGpu> {
    const { lengthQ, lengthK, headDim } = c;
    if ([lengthQ, lengthK, headDim].some((n) => n % TILE) || c.queryHeads !== c.kvHeads) {
      throw new RangeError(`the unfused baseline takes multiples of ${TILE} and no shared heads`);
    }
    const heads = c.batch * c.queryHeads;
    const at = headsAtATime(device, heads, lengthQ * lengthK * 4);
    const [q, k, v] = [data.q, data.k, data.v].map((x) => upload(device, x));
    const out = storage(device, shapes(c).q.reduce((a, b) => a * b, 4));
    const scores = storage(device, at * lengthQ * lengthK * 4);
    const kernels = [SCORES, SOFTMAX, OUTPUT];
    const [first, second, third] = await Promise.all(kernels.map((code) => pipeline(device, code)));
    const dispatches: Dispatch[] = [];
    const others = [q, k, v];
    for (let head = 0; head < heads; head += at) {
      const count = Math.min(at, heads - head);
      const params = uniform(device, parameters(c, head, causal));
      others.push(params);
      const add = (
        pipeline: GPUComputePipeline,
        buffers: GPUBuffer[],
        x: number,
        y: number,
        z: number,
      ) =>
        dispatches.push({
          pipeline,
          group: bind(device, pipeline, [params, ...buffers]),
          size: [x, y, z],
        });
      add(first, [q, k, scores], lengthK / TILE, lengthQ / TILE, count);
      add(second, [scores], lengthQ, count, 1);
      add(third, [scores, v, out], headDim / TILE, lengthQ / TILE, count);
    }
    return new UnfusedOnGpu(device, dispatches, { scores, out, others });
  }

  work(name = "unfused"): GpuWork {
    return {
      name,
      record: (pass) => {
        for (const { pipeline, group, size } of this.#dispatches) {
          pass.setPipeline(pipeline);
          pass.setBindGroup(0, group);
          pass.dispatchWorkgroups(...size);
        }
      },
    };
  }

  /** What the last launch computed. */
  async output(): Promise<Float32Array> {
    return await readBack(this.#device, this.#out);
  }

  dispose(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}

/** As many heads as one binding holds the scores of. */
function headsAtATime(device: GPUDevice, heads: number, headBytes: number): number {
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const fitting = Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / headBytes);
  if (fitting < 1) throw new RangeError("the scores of one head exceed the largest binding");
  return Math.min(heads, fitting);
}

function parameters(c: Case, firstHead: number, causal: boolean): ArrayBuffer {
  const data = new ArrayBuffer(32);
  new Uint32Array(data).set([c.lengthQ, c.lengthK, c.headDim, firstHead, 0, causal ? 1 : 0]);
  new Float32Array(data)[4] = 1 / Math.sqrt(c.headDim);
  return data;
}
