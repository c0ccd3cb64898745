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
import { type Case, operands } from "../cases.ts";
import { causalMask, isCausal, type Job, type Prepared, wantsGradients } from "../process/job.ts";

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
  tensor2d(data: Float32Array, shape: readonly number[]): Tensor;
  tensor4d(data: Float32Array, shape: readonly number[]): Tensor;
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
  const c = job.case;
  const mask = isCausal(job) ? tf.tensor2d(causalMask(c), [c.lengthQ, c.lengthK]) : undefined;
  if (job.contender.endsWith("/batched")) return batched(c, mask, wantsGradients(job));
  if (c.kvHeads !== c.queryHeads) {
    throw new Error("does not apply: one kv head per query head only");
  }
  const heads = splitHeads(c);
  const scale = 1 / Math.sqrt(c.headDim);
  if (!wantsGradients(job)) {
    return eachHead(c, heads, ["out"], (head) => [attend(head, scale, mask)]);
  }
  return job.contender.endsWith("/grads") ? automatic(c, heads, mask) : written(c, heads, mask);
}

/** What a training step yields. */
const STEP = ["out", "dq", "dk", "dv"];

interface Head {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly dOut: Tensor;
}

function splitHeads(c: Case): Head[] {
  const data = operands(c);
  const rows = (x: Float32Array, head: number, length: number) => {
    const size = length * c.headDim;
    return tf.tensor2d(x.slice(head * size, (head + 1) * size), [length, c.headDim]);
  };
  return Array.from({ length: c.batch * c.queryHeads }, (_, head) => ({
    q: rows(data.q, head, c.lengthQ),
    k: rows(data.k, head, c.lengthK),
    v: rows(data.v, head, c.lengthK),
    dOut: rows(data.dOut, head, c.lengthQ),
  }));
}

function probabilities(head: Head, scale: number, mask: Tensor | undefined): Tensor {
  const scores: Tensor = tf.matMul(head.q.mul(scale), tf.transpose(head.k));
  return tf.softmax(mask ? tf.add(scores, mask) : scores);
}

function attend(head: Head, scale: number, mask: Tensor | undefined): Tensor {
  return tf.matMul(probabilities(head, scale, mask), head.v);
}

/** Gradients with every product as a plain one; returns what a training step needs. */
function written(c: Case, heads: readonly Head[], mask: Tensor | undefined): Prepared {
  const scale = 1 / Math.sqrt(c.headDim);
  return eachHead(c, heads, STEP, (head) => {
    const p = probabilities(head, scale, mask);
    const out = tf.matMul(p, head.v);
    const dv = tf.matMul(tf.transpose(p), head.dOut);
    const dp = tf.matMul(head.dOut, tf.transpose(head.v));
    const delta = tf.sum(tf.mul(head.dOut, out), 1, true);
    const ds = tf.mul(tf.mul(p, tf.sub(dp, delta)), scale);
    return [out, tf.matMul(ds, head.k), tf.matMul(tf.transpose(ds), head.q), dv];
  });
}

function automatic(c: Case, heads: readonly Head[], mask: Tensor | undefined): Prepared {
  const scale = 1 / Math.sqrt(c.headDim);
  return eachHead(c, heads, STEP, (head) => {
    let out: Tensor | undefined;
    const differentiate = tf.grads((q, k, v) => {
      const result = attend({ q, k, v, dOut: head.dOut }, scale, mask);
      out = tf.keep(result.clone());
      return result;
    });
    const gradients = differentiate([head.q, head.k, head.v], head.dOut);
    return out ? [out, ...gradients] : gradients;
  });
}

function eachHead(
  c: Case,
  heads: readonly Head[],
  names: readonly string[],
  step: (head: Head) => Tensor[],
): Prepared {
  const query = heads.length * c.lengthQ * c.headDim, key = heads.length * c.lengthK * c.headDim;
  const results = names.map((name) =>
    [name, new Float32Array(name === "dk" || name === "dv" ? key : query)] as const
  );
  return {
    run() {
      heads.forEach((head, i) => {
        const tensors = tf.tidy(() => step(head));
        results.forEach(([, into], n) => take(tensors[n], into, i));
      });
    },
    // A training step yields its output too, which is not compared.
    outputs: () => Object.fromEntries(results.filter((_, n) => n > 0 || names.length === 1)),
  };
}

/** Reads a head's result to where the user wants it, and frees it. */
function take(tensor: Tensor, into: Float32Array, head: number): void {
  into.set(tensor.dataSync(), head * tensor.size);
  tensor.dispose();
}

function batched(c: Case, mask: Tensor | undefined, gradients: boolean): Prepared {
  if (gradients) throw new Error("does not apply: gradients are measured per head");
  const data = operands(c);
  // Query heads that share a kv head become rows of one product: the library cannot broadcast.
  const rows = c.queryHeads / c.kvHeads * c.lengthQ;
  const q = tf.tensor4d(data.q, [c.batch, c.kvHeads, rows, c.headDim]);
  const kv = [c.batch, c.kvHeads, c.lengthK, c.headDim];
  const k = tf.tensor4d(data.k, kv), v = tf.tensor4d(data.v, kv);
  let out = new Float32Array();
  return {
    run() {
      const result = tf.tidy(() => {
        const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(c.headDim));
        return tf.matMul(tf.softmax(mask ? tf.add(scores, mask) : scores), v);
      });
      out = result.dataSync() as Float32Array<ArrayBuffer>;
      result.dispose();
    },
    outputs: () => ({ out }),
  };
}
