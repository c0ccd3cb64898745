/**
 * Attention that is not fused on a GPU: the kernels of unfused_shaders.ts, as many heads at a time as
 * one binding holds the scores of.
 * @module
 */

import type { Call } from "../cases.ts";
import { dispatch, pipeline, readBack, storage, uniform, upload } from "../measure/gpu_device.ts";
import type { Entrant, Runner, Work } from "../measure/race.ts";
import { outputError } from "../oracle.ts";
import { mapTuple } from "../../tests/tuples.ts";
import { OUTPUT, parameters, SCORES, SOFTMAX, TILE } from "./unfused_shaders.ts";

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
  const [q, k, v] = mapTuple([data.q, data.k, data.v], (x) => upload(device, x));
  const out = storage(device, data.q.byteLength), at = Math.min(heads, fitting);
  const scores = storage(device, at * headBytes);
  const kernels = mapTuple([SCORES, SOFTMAX, OUTPUT], (code) => pipeline(device, code));
  const [first, second, third] = await Promise.all(kernels);
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
