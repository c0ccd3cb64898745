/**
 * jax-js on its WebAssembly or WebGPU device: its own `nn.dotProductAttention` under `jit`, gradients
 * by `vjp` of it under the same `jit`. Arrays stay in the device's memory between calls.
 * @module
 */

import { operands } from "../cases.ts";
import { isCausal, type Job, type Prepared, swapMiddle, wantsGradients } from "../process/job.ts";
import { mapTuple } from "../../tests/tuples.ts";

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
type Pull = ((g: JaxArray) => JaxArray[]) & { dispose(): void };
interface Jax {
  init(device: string): Promise<string[]>;
  defaultDevice(device: string): void;
  jit<F>(f: F): F;
  vjp(f: Attend, at: readonly JaxArray[]): [JaxArray, Pull];
  blockUntilReady(arrays: readonly JaxArray[]): Promise<unknown>;
  readonly numpy: { array(data: Float32Array, options: object): JaxArray };
  readonly nn: {
    dotProductAttention(q: JaxArray, k: JaxArray, v: JaxArray, options: object): JaxArray;
  };
}

export async function prepare(job: Job): Promise<Prepared> {
  // The only way to say how many threads: the pool takes this number when it first runs.
  if (job.backend === "wasm") {
    Object.defineProperty(navigator, "hardwareConcurrency", { value: job.threads });
  }
  const jax = await import(new URL(ENTRY, job.modules).href) as Jax;
  const devices = await jax.init(job.backend);
  if (!devices.includes(job.backend)) throw new Error(`jax-js found no ${job.backend}`);
  jax.defaultDevice(job.backend);
  const c = job.case, data = operands(c), causal = isCausal(job), { queryHeads, kvHeads } = c;
  // tokens before heads
  const array = (x: Float32Array, heads: number, length: number) =>
    jax.numpy.array(swapMiddle(x, [c.batch, heads, length, c.headDim]), {
      shape: [c.batch, length, heads, c.headDim],
    });
  const back = (x: Float32Array, heads: number) =>
    swapMiddle(x, [c.batch, x.length / (c.batch * heads * c.headDim), heads, c.headDim]);
  const [q, dOut] = mapTuple([data.q, data.dOut], (x) => array(x, queryHeads, c.lengthQ));
  const [k, v] = mapTuple([data.k, data.v], (x) => array(x, kvHeads, c.lengthK));
  const attend: Attend = (a, b, d) => jax.nn.dotProductAttention(a, b, d, { isCausal: causal });
  if (wantsGradients(job)) {
    const step = jax.jit((a: JaxArray, b: JaxArray, d: JaxArray, g: JaxArray): JaxArray[] => {
      const [out, pull] = jax.vjp(attend, [a, b, d]);
      const gradients = pull(g);
      pull.dispose();
      return [out, ...gradients];
    });
    let found: Float32Array[] = [];
    return {
      async run() {
        const arrays = step(q.ref, k.ref, v.ref, dOut.ref);
        found = await Promise.all(arrays.map((x) => x.data()));
      },
      outputs() {
        const gradient = (n: number, heads: number) => back(found[n]!, heads);
        return {
          dq: gradient(1, queryHeads),
          dk: gradient(2, kvHeads),
          dv: gradient(3, kvHeads),
        };
      },
    };
  }
  const forward = jax.jit(attend), once = () => forward(q.ref, k.ref, v.ref);
  if (job.backend === "webgpu") {
    // All results are kept to the end: a call whose result is disposed before is never submitted.
    let results: JaxArray[] = [];
    return {
      mostCalls: Math.max(1, Math.floor(RESULT_BYTES / data.q.byteLength)),
      run: () => void results.push(once()),
      async finish() {
        await jax.blockUntilReady(results);
        for (const result of results) result.dispose();
        results = [];
      },
      outputs: async () => ({ out: back(await once().data(), queryHeads) }),
    };
  }
  let out = new Float32Array();
  return {
    async run() {
      out = await once().data() as Float32Array<ArrayBuffer>;
    },
    outputs: () => ({ out: back(out, queryHeads) }),
  };
}
