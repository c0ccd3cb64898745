/**
 * jax-js on its WebGPU device: its own `nn.dotProductAttention` under `jit`, arrays resident.
 * @module
 */

import { swapMiddle } from "../../peers/job.ts";
import { gpuOperands } from "../cases.ts";
import type { PeerJob, PreparedPeer } from "./contender.ts";

const ENTRY = "@jax-js/jax/dist/index.js";
/** Bytes of results that may wait on the device. */
const RESULT_BYTES = 2 ** 30;

/** What is used of the library: its own types need an import that only bench/peers can resolve. */
interface JaxArray {
  readonly ref: JaxArray;
  data(): Promise<Float32Array>;
  dispose(): void;
}
type Attend = (q: JaxArray, k: JaxArray, v: JaxArray) => JaxArray;
interface Jax {
  init(device: string): Promise<string[]>;
  defaultDevice(device: string): void;
  jit(f: Attend): Attend;
  blockUntilReady(arrays: JaxArray[]): Promise<unknown>;
  readonly numpy: { array(data: Float32Array, options: object): JaxArray };
  readonly nn: {
    dotProductAttention(q: JaxArray, k: JaxArray, v: JaxArray, options: object): JaxArray;
  };
}

export async function prepare(job: PeerJob): Promise<PreparedPeer> {
  const jax = await import(new URL(ENTRY, job.modules).href) as Jax;
  const devices = await jax.init("webgpu");
  if (!devices.includes("webgpu")) throw new Error("jax-js found no WebGPU");
  jax.defaultDevice("webgpu");
  const c = job.case;
  const data = gpuOperands(c);
  const array = (x: Float32Array, heads: number, length: number) =>
    jax.numpy.array(swapMiddle(x, [c.batch, heads, length, c.headDim]), {
      shape: [c.batch, length, heads, c.headDim],
    });
  const q = array(data.q, c.queryHeads, c.lengthQ);
  const k = array(data.k, c.kvHeads, c.lengthK);
  const v = array(data.v, c.kvHeads, c.lengthK);
  const attend = jax.jit((a, b, d) =>
    jax.nn.dotProductAttention(a, b, d, { isCausal: job.causal })
  );
  return {
    mostCalls: Math.max(1, Math.floor(RESULT_BYTES / data.q.byteLength)),
    async run(calls) {
      // All results are kept to the end: a call whose result is disposed before is never submitted.
      const results = Array.from({ length: calls }, () => attend(q.ref, k.ref, v.ref));
      await jax.blockUntilReady(results);
      for (const result of results) result.dispose();
    },
    async output() {
      const values = await attend(q.ref, k.ref, v.ref).data();
      return swapMiddle(values, [c.batch, c.lengthQ, c.queryHeads, c.headDim]);
    },
  };
}
