/**
 * TensorFlow.js on its WebAssembly backend. Two ways of writing attention:
 *
 * - `tfjs-wasm/heads`: two-dimensional products, one head at a time. Only these reach XNNPACK, and
 *   only without transpose flags, so operands are transposed first. Its gradients are written out
 *   the same way: those of tf.grads use the flags, and are ten times slower.
 * - `tfjs-wasm/grads`: the same forward, differentiated by tf.grads, as most users would.
 * - `tfjs-wasm/batched`: four-dimensional products, the natural way to write it. It wins for one
 *   query (decode).
 *
 * Threads: the package refuses them outside browsers.
 * @module
 */

import { createRequire } from "node:module";
import { dirname } from "node:path";
import { type Case, type Operands, operands, shapes } from "../cases.ts";
import { causalMask, isCausal, type Job, type Prepared, wantsGradients } from "../process/job.ts";
import { mapTuple } from "../../tests/tuples.ts";

const BACKEND = "@tensorflow/tfjs-backend-wasm";

/** What is used of the library: its own types need an import that only bench/peers can resolve. */
interface Tensor {
  readonly size: number;
  clone(): Tensor;
  mul(by: number): Tensor;
  dataSync(): Float32Array;
  dispose(): void;
}
type Binary = (a: Tensor, b: Tensor | number) => Tensor;
interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(data: Float32Array, shape: readonly number[]): Tensor;
  matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  transpose(x: Tensor): Tensor;
  softmax(x: Tensor): Tensor;
  sum(x: Tensor, axis: number, keepDims: boolean): Tensor;
  readonly add: Binary;
  readonly sub: Binary;
  readonly mul: Binary;
  tidy<T>(f: () => T): T;
  keep(x: Tensor): Tensor;
  grads(f: (...inputs: Tensor[]) => Tensor): (at: Tensor[], dOut: Tensor) => Tensor[];
}
let tf: TensorFlow;

export async function prepare(job: Job): Promise<Prepared> {
  if (job.threads > 1) throw new Error("does not apply: no threads outside browsers");
  // Through require, so that the backend registers itself with the same copy of the core.
  const require = createRequire(new URL("@tensorflow/tfjs/", job.modules));
  tf = require("@tensorflow/tfjs") as TensorFlow;
  const backend = require(BACKEND) as { setWasmPaths(folder: string): void };
  backend.setWasmPaths(dirname(require.resolve(BACKEND)) + "/");
  if (!await tf.setBackend("wasm")) throw new Error("tfjs-wasm did not start");
  await tf.ready();
  const c = job.case, scale = 1 / Math.sqrt(c.headDim);
  const mask = isCausal(job) ? tf.tensor(causalMask(c), [c.lengthQ, c.lengthK]) : undefined;
  const weights = (scores: Tensor) => tf.softmax(mask ? tf.add(scores, mask) : scores);
  if (job.contender.endsWith("/batched")) return batched(job, scale, weights);
  if (c.kvHeads !== c.queryHeads) {
    throw new Error("does not apply: one kv head per query head only");
  }
  const probabilities = (q: Tensor, k: Tensor) => weights(tf.matMul(q.mul(scale), tf.transpose(k)));
  const attend = (q: Tensor, k: Tensor, v: Tensor) => tf.matMul(probabilities(q, k), v);
  if (!wantsGradients(job)) return eachHead(c, ["out"], ({ q, k, v }) => [attend(q, k, v)]);
  if (job.contender.endsWith("/grads")) {
    return eachHead(c, STEP, ({ q, k, v, dOut }) => {
      let out: Tensor | undefined;
      const differentiate = tf.grads((q, k, v) => {
        const result = attend(q, k, v);
        out = tf.keep(result.clone());
        return result;
      });
      const gradients = differentiate([q, k, v], dOut);
      return out ? [out, ...gradients] : gradients;
    });
  }
  return eachHead(c, STEP, ({ q, k, v, dOut }) => {
    const p = probabilities(q, k), out = tf.matMul(p, v);
    const dv = tf.matMul(tf.transpose(p), dOut), dp = tf.matMul(dOut, tf.transpose(v));
    const delta = tf.sum(tf.mul(dOut, out), 1, true);
    const ds = tf.mul(tf.mul(p, tf.sub(dp, delta)), scale);
    return [out, tf.matMul(ds, k), tf.matMul(tf.transpose(ds), q), dv];
  });
}

/** What a training step yields. */
const STEP = ["out", "dq", "dk", "dv"];

/** Calls `step` for one head after the other, and reads each result to where the user wants it. */
function eachHead(
  c: Case,
  names: readonly string[],
  step: (head: Record<keyof Operands, Tensor>) => Tensor[],
): Prepared {
  const data = operands(c);
  const heads = Array.from({ length: c.batch * c.queryHeads }, (_, head) => {
    const part = (x: Float32Array, length: number) => {
      const size = length * c.headDim;
      return tf.tensor(x.slice(head * size, (head + 1) * size), [length, c.headDim]);
    };
    const [q, dOut] = mapTuple([data.q, data.dOut], (x) => part(x, c.lengthQ));
    const [k, v] = mapTuple([data.k, data.v], (x) => part(x, c.lengthK));
    return { q, k, v, dOut };
  });
  const like: Record<string, Float32Array> = { out: data.q, dq: data.q, dk: data.k, dv: data.v };
  const results = names.map((name) => [name, new Float32Array(like[name]!.length)] as const);
  return {
    run() {
      heads.forEach((head, i) => {
        const tensors = tf.tidy(() => step(head));
        results.forEach(([, into], n) => {
          into.set(tensors[n]!.dataSync(), i * tensors[n]!.size);
          tensors[n]!.dispose();
        });
      });
    },
    // A training step yields its output too, which is not compared.
    outputs: () => Object.fromEntries(results.filter((_, n) => n > 0 || names.length === 1)),
  };
}

function batched(job: Job, scale: number, weights: (scores: Tensor) => Tensor): Prepared {
  if (wantsGradients(job)) throw new Error("does not apply: gradients are measured per head");
  const c = job.case, data = operands(c);
  // Query heads that share a kv head become rows of one product: the library cannot broadcast.
  const rows = c.queryHeads / c.kvHeads * c.lengthQ;
  const q = tf.tensor(data.q, [c.batch, c.kvHeads, rows, c.headDim]);
  const [k, v] = mapTuple([data.k, data.v], (x) => tf.tensor(x, shapes(c).kv));
  let out = new Float32Array();
  return {
    run() {
      const result = tf.tidy(() =>
        tf.matMul(weights(tf.mul(tf.matMul(q, k, false, true), scale)), v)
      );
      out = result.dataSync() as Float32Array<ArrayBuffer>;
      result.dispose();
    },
    outputs: () => ({ out }),
  };
}
