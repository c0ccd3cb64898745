/**
 * Attention as three kernels that write the whole score matrix: what a competent person would write
 * before knowing better.
 * @module
 */

import type { Call, Case } from "../cases.ts";
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
  const heads = c.batch * c.queryHeads, headBytes = lengthQ * lengthK * 4;
  // As many heads at a time as one binding holds the scores of.
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const fitting = Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / headBytes);
  if (fitting < 1) throw new RangeError("the scores of one head exceed the largest binding");
  const [q, k, v] = [data.q, data.k, data.v].map((x) => upload(device, x));
  const out = storage(device, data.q.byteLength), at = Math.min(heads, fitting);
  const scores = storage(device, at * headBytes);
  const kernels = [SCORES, SOFTMAX, OUTPUT];
  const [first, second, third] = await Promise.all(kernels.map((code) => pipeline(device, code)));
  const works: Work[] = [], buffers = [q, k, v, scores, out], rows = lengthQ / TILE;
  for (let head = 0; head < heads; head += at) {
    const count = Math.min(at, heads - head), params = uniform(device, parameters(c, head, causal));
    buffers.push(params);
    works.push(
      dispatch(device, first, [params, q, k, scores], [lengthK / TILE, rows, count]),
      dispatch(device, second, [params, scores], [lengthQ, count]),
      dispatch(device, third, [params, scores, v, out], [headDim / TILE, rows, count]),
    );
  }
  return {
    work: { name: "unfused", record: (pass) => works.forEach((work) => work.record!(pass)) },
    error: async () => outputError(call, new Float32Array(await readBack(device, out))),
    dispose: () => buffers.forEach((buffer) => buffer.destroy()),
  };
}

function parameters(c: Case, firstHead: number, causal: boolean): ArrayBuffer {
  const data = new ArrayBuffer(32);
  new Uint32Array(data).set([c.lengthQ, c.lengthK, c.headDim, firstHead, 0, causal ? 1 : 0]);
  new Float32Array(data)[4] = 1 / Math.sqrt(c.headDim);
  return data;
}
