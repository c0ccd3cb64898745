/**
 * jax-js, WebAssembly device: its own `nn.dotProductAttention` under `jit`, gradients by `vjp` of
 * it under the same `jit`. Arrays stay in the device's memory between calls.
 * @module
 */

import { type Array as JaxArray, defaultDevice, init, jit, nn, numpy, vjp } from "@jax-js/jax";
import { operands } from "../../cases.ts";
import {
  isCausal,
  type Job,
  type Outputs,
  type Prepared,
  swapMiddle,
  wantsGradients,
} from "../job.ts";

export async function prepare(job: Job): Promise<Prepared> {
  // The only way to say how many threads: the pool takes this number when it first runs.
  Object.defineProperty(navigator, "hardwareConcurrency", { value: job.threads });
  await init("wasm");
  defaultDevice("wasm");
  const c = job.case;
  const data = operands(c);
  const array = (x: Float32Array, heads: number, length: number) =>
    numpy.array(swapMiddle(x, [c.batch, heads, length, c.headDim]) as Float32Array<ArrayBuffer>, {
      shape: [c.batch, length, heads, c.headDim],
    });
  const q = array(data.q, c.queryHeads, c.lengthQ);
  const k = array(data.k, c.kvHeads, c.lengthK);
  const v = array(data.v, c.kvHeads, c.lengthK);
  const isCausalCall = isCausal(job);
  const attend = (a: JaxArray, b: JaxArray, d: JaxArray): JaxArray =>
    nn.dotProductAttention(a, b, d, { isCausal: isCausalCall });
  const heads = { q: c.queryHeads, k: c.kvHeads, v: c.kvHeads };
  const back = (x: Float32Array, of: keyof typeof heads) =>
    swapMiddle(x, [c.batch, x.length / (c.batch * heads[of] * c.headDim), heads[of], c.headDim]);

  if (!wantsGradients(job)) {
    const forward = jit(attend);
    let out = new Float32Array();
    return {
      async run() {
        out = await forward(q.ref, k.ref, v.ref).data() as Float32Array<ArrayBuffer>;
      },
      outputs: () => ({ out: back(out, "q") }),
    };
  }

  const dOut = array(data.dOut, c.queryHeads, c.lengthQ);
  const step = jit((a: JaxArray, b: JaxArray, d: JaxArray, g: JaxArray): JaxArray[] => {
    const [out, pull] = vjp(attend, [a, b, d]);
    const gradients = pull(g) as JaxArray[];
    pull.dispose();
    return [out, ...gradients];
  });
  let result: Outputs = {};
  return {
    async run() {
      const arrays = step(q.ref, k.ref, v.ref, dOut.ref);
      const [out, dq, dk, dv] = await Promise.all(arrays.map((x) => x.data())) as Float32Array[];
      result = { out, dq, dk, dv };
    },
    outputs: () => ({
      dq: back(result.dq, "q"),
      dk: back(result.dk, "k"),
      dv: back(result.dv, "v"),
    }),
  };
}
