/**
 * Attention as three kernels that write the whole score matrix: what a competent person would write
 * before knowing better.
 * @module
 */

import { type Call, type Case, shapes } from "../cases.ts";
import { dispatch, pipeline, readBack, storage, uniform, upload } from "../measure/gpu_device.ts";
import type { Entrant, Runner, Work } from "../measure/race.ts";
import { outputError } from "../oracle.ts";
import { OUTPUT, SCORES, SOFTMAX, TILE } from "./unfused_wgsl.ts";

/** As an entrant of a race. */
export function unfusedForward(device: GPUDevice, call: Call): Entrant {
  return { name: "unfused", tolerance: 1e-5, create: () => create(device, call) };
}

async function create(device: GPUDevice, call: Call): Promise<Runner> {
  const { c, data, causal } = call;
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
  const works: Work[] = [], buffers = [q, k, v, scores, out];
  for (let head = 0; head < heads; head += at) {
    const count = Math.min(at, heads - head);
    const params = uniform(device, parameters(c, head, causal));
    buffers.push(params);
    const step = (
      kernel: GPUComputePipeline,
      bound: GPUBuffer[],
      x: number,
      y: number,
      z: number,
    ) => works.push(dispatch(device, kernel, [params, ...bound], [x, y, z]));
    step(first, [q, k, scores], lengthK / TILE, lengthQ / TILE, count);
    step(second, [scores], lengthQ, count, 1);
    step(third, [scores, v, out], headDim / TILE, lengthQ / TILE, count);
  }
  return {
    work: { name: "unfused", record: (pass) => works.forEach((work) => work.record!(pass)) },
    error: async () => outputError(call, new Float32Array(await readBack(device, out))),
    dispose: () => buffers.forEach((buffer) => buffer.destroy()),
  };
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
