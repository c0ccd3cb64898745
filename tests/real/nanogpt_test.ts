/**
 * `@genai-fi/nanogpt` 1.3.0 trained with this library's attention in place of its own, and what `checkGradients` says of either.
 * Needs packages that `deno task test:interop` has.
 */

import assert from "node:assert/strict";
import {
  type CheckedTensor,
  checkGradients,
  type GradientReport,
} from "@flashtile/attention/check";
import { createFlashAttention } from "@flashtile/attention/tfjs";
import type { Tensor } from "@tensorflow/tfjs-core";
import { absent } from "../webgpu/support.ts";
import { type Nanogpt, openNanogpt, trainWith, withFlash } from "./nanogpt.ts";

const nanogpt = await openNanogpt();

function nanogptTest(title: string, fn: (nanogpt: Nanogpt) => Promise<void>, gpu = false): void {
  const lacks = nanogpt ? gpu ? absent : undefined : "no @genai-fi/nanogpt in this configuration";
  Deno.test({
    name: lacks ? `nanogpt: ${title} (left out: ${lacks})` : `nanogpt: ${title}`,
    ignore: lacks !== undefined,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () => fn(nanogpt!),
  });
}

type Attend = (q: Tensor, k: Tensor, v: Tensor) => Tensor;

/** Checks an attention of `[batch, heads, length, headDim]` that is always causal, and its gradients by TensorFlow.js. */
async function check({ tf }: Nanogpt, attend: Attend): Promise<GradientReport> {
  const tensors = (...of: CheckedTensor[]) =>
    of.map(({ data, shape }) => tf.tensor(data, [...shape]));
  const values = async (made: Tensor) => Float32Array.from(await made.data());
  return await checkGradients(
    async (q, k, v) => {
      const [a, b, c] = tensors(q, k, v);
      return { out: await values(attend(a!, b!, c!)) };
    },
    async (dOut, { q, k, v }) => {
      const [d] = tensors(dOut);
      const made = tf.grads((q, k, v) => attend(q!, k!, v!))(tensors(q, k, v), d!);
      const [dq, dk, dv] = await Promise.all(made.map(values));
      return { dq: dq!, dk: dk!, dv: dv! };
    },
    {
      ...{ layout: "bhsd", always: ["causal"], options: [], seed: 2 },
      problems: tf.getBackend() === "cpu" ? 8 : 2, // finite differences are many calls
      sizes: {
        groups: [1],
        lengthQ: [5, 33],
        lengthK: "lengthQ",
        headDim: [4, 8, 16],
        valueDim: "headDim",
      },
    },
  );
}

/** What a layer of the package computes between its projections. */
function ownAttend({ tf, own }: Nanogpt): Attend {
  const product = { transposeA: false, transposeB: false };
  return (q, k, v) => {
    const divisor = 1 / Math.sqrt(q.shape[3]!);
    const weights = own.getAttentionScores.call({ divisor } as typeof own, q, k);
    return tf.engine().runKernel("MatMul16", { A: weights, B: v }, product) as Tensor;
  };
}

const flashFor = ({ tf }: Nanogpt) => createFlashAttention<Tensor>(tf as never);

nanogptTest(
  "its CPU gradients of q and k are √headDim too large, ours are right",
  async (nanogpt) => {
    await nanogpt.setBackend("cpu");
    const report = await check(nanogpt, ownAttend(nanogpt));
    const [{ results, diagnosis }, ...others] = report.findings as typeof report.findings & [
      typeof report.findings[0],
    ];
    assert.deepEqual(
      [results, diagnosis.kind, others.length],
      [["dq", "dk"], "factor", 0],
      report.text,
    );
    assert.equal(diagnosis.expressions![0], "√headDim");
    const flashAttention = await flashFor(nanogpt);
    const ours = await check(
      nanogpt,
      (q, k, v) => flashAttention(q, k, v, { layout: "bhsd", causal: true }),
    );
    assert.ok(ours.passed, ours.text);
  },
);

nanogptTest(
  "on the CPU it computes the same loss with our attention, and learns",
  async (nanogpt) => {
    await nanogpt.setBackend("cpu");
    const flash = withFlash(nanogpt, await flashFor(nanogpt));
    const training = { length: 32, steps: 6, optimizer: "adam" } as const;
    const own = await trainWith(nanogpt, nanogpt.own.forward, { ...training, steps: 1 });
    const ours = await trainWith(nanogpt, flash, training);
    assert.ok(Math.abs(own.losses[0]! - ours.losses[0]!) <= 2e-6, `${own.losses}, ${ours.losses}`);
    assert.ok(ours.losses.at(-1)! < 0.75 * ours.losses[0]!, `${ours.losses}`);
  },
);

nanogptTest("on its GPU path it learns the same with our attention", async (nanogpt) => {
  await nanogpt.setBackend("webgpu");
  const right = await check(nanogpt, ownAttend(nanogpt));
  assert.ok(right.passed, right.text);
  const flash = withFlash(nanogpt, await flashFor(nanogpt));
  const training = { length: 32, steps: 4, optimizer: "sgd" } as const; // Adam hides the size of gradients
  const own = await trainWith(nanogpt, nanogpt.own.forward, training);
  const ours = await trainWith(nanogpt, flash, training);
  own.losses.forEach((loss, n) => {
    assert.ok(Math.abs(loss - ours.losses[n]!) <= 1e-5, `${own.losses}, ${ours.losses}`);
  });
}, true);
