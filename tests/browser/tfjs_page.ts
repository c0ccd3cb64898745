// TensorFlow.js in a page: its WebGPU backend on SwiftShader by way of Tint, its WASM backend with threads, whose heap is
// shared memory, and WebGL, each against its CPU backend.
import * as tf from "@tensorflow/tfjs";
import { getThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-backend-webgpu";
import { createFlashAttention } from "../../src/tfjs.ts";
import { CASES } from "../tfjs/cases.ts";
import { materialized } from "../tfjs/materialized.ts";
import { compare, runCase } from "../tfjs/run_case.ts";
import { check, ok, send } from "./checks.ts";

/** Largest difference that is accepted, as a share of the largest value. */
const TOLERANCE = 1e-5;

const random = (seed: number, ...shape: number[]) => tf.randomNormal(shape, 0, 1, "float32", seed);

/** The result and all gradients of a call on the backend that is set. */
async function run(): Promise<Float32Array[]> {
  const flashAttention = await createFlashAttention<tf.Tensor>(tf);
  const [q, k, v] = [random(1, 1, 9, 4, 8), random(2, 1, 13, 2, 8), random(3, 1, 13, 2, 6)];
  const bias = random(4, 4, 9, 13), weights = random(5, 1, 9, 4, 6);
  // made by an op, so that it lives where the backend computes
  const mask = tf.less(random(6, 9, 13), tf.scalar(1));
  const options = { causal: true, mask } as const;
  const attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, bias: tf.Tensor) =>
    flashAttention(q, k, v, { ...options, bias });
  const gradients = tf.grads((q, k, v, bias) => tf.sum(tf.mul(attend(q!, k!, v!, bias!), weights)));
  const all = [attend(q!, k!, v!, bias), ...gradients([q!, k!, v!, bias])];
  const values = await Promise.all(all.map((x) => x.data()));
  return values.map((x) => Float32Array.from(x));
}

function compareAll(got: readonly Float32Array[], want: readonly Float32Array[]): string {
  let worst = 0;
  want.forEach((values, n) => {
    const largest = values.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    ok(largest > 0, `result ${n} is all zero`);
    values.forEach((x, m) => {
      const error = Math.abs(got[n]![m]! - x) / largest;
      ok(error <= TOLERANCE, `result ${n}[${m}] is ${got[n]![m]}, wanted ${x}`);
      worst = Math.max(worst, error);
    });
  });
  return `largest difference ${worst.toExponential(1)}`;
}

async function main(): Promise<void> {
  setWasmPaths("/tfjs/");
  let want: readonly Float32Array[] = [];
  await check("TensorFlow.js, cpu", async () => {
    await tf.setBackend("cpu");
    want = await run();
    return `${want.length} results`;
  });
  for (const name of ["wasm", "webgl", "webgpu"]) {
    await check(`TensorFlow.js, ${name}`, async () => {
      ok(await tf.setBackend(name), `there is no backend ${name}`);
      const text = compareAll(await run(), want);
      if (name !== "wasm") return text;
      const heap = (tf.backend() as unknown as { wasm: { HEAPU8: Uint8Array } }).wasm.HEAPU8;
      ok(heap.buffer instanceof SharedArrayBuffer, "its heap is not shared");
      return `${text}, ${getThreadsCount()} threads, shared heap`;
    });
  }
  await check("TensorFlow.js, webgpu, every option that has a gradient", learnedOptions);
}

/** All of them in one call beside the formula that stores the scores: SwiftShader compiles each other set of options anew. */
async function learnedOptions(): Promise<string> {
  const c = CASES.at(-1)!, learned = Object.keys(c.learned!);
  await tf.setBackend("cpu");
  const want = await runCase(c, (q, k, v, of) => materialized(q, k, v, c.formula(of)));
  await tf.setBackend("webgpu");
  const flashAttention = await createFlashAttention<tf.Tensor>(tf);
  const got = await runCase(c, (q, k, v, of) => flashAttention(q, k, v, c.options(of)));
  for (const [of, values] of want) compare(got.get(of)!, values, of);
  return `q, k, v, ${learned.join(", ")}`;
}

await main();
await send("/done", {});
