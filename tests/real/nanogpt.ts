/**
 * A package that trains GPTs in TensorFlow.js (`@genai-fi/nanogpt` 1.3.0, which bundles a copy of that), with its own attention
 * or with this library's in its place.
 *
 * `deno run -A --config tests/interop/deno.json tests/real/nanogpt.ts` prints what steps of training take.
 */

import type { FlashAttention } from "@flashtile/attention/tfjs";
import type * as TensorFlow from "@tensorflow/tfjs-core";
import { importPackage } from "./shelf.ts";

type Tf = typeof TensorFlow;
type Tensor = TensorFlow.Tensor;

/** What its layers of attention have; the package calls some of it private. */
export interface AttentionLayer {
  /** `1 / √headDim`. */
  readonly divisor: number;
  /** Query, key and value `[batch, heads, length, headDim]` of rows. */
  getQKV(x: Tensor): [q: Tensor, k: Tensor, v: Tensor];
  /** The softmax of causal scores. */
  getAttentionScores(q: Tensor, k: Tensor): Tensor;
  getOutputProjection(x: Tensor): Tensor;
  forward: Forward;
}

type Forward = (this: AttentionLayer, attributes: Attributes, x: Tensor) => Tensor;

interface Attributes {
  readonly training?: boolean;
  readonly ropePositionOffset?: number;
  readonly ropeCache?: { ensureRopeCache(length: number): void };
}

interface Model {
  readonly variables: readonly TensorFlow.Variable[];
  forward(attributes: Attributes, tokens: Tensor): Tensor;
  dispose(): void;
}

interface Package {
  readonly layers: { readonly CausalSelfAttention: { readonly prototype: AttentionLayer } };
  readonly models: { readonly NanoGPTV1: new (config: object) => Model };
}

/** The package, and the functions of TensorFlow.js on the engine that it made. */
export interface Nanogpt {
  readonly tf: Tf;
  readonly own: AttentionLayer;
  readonly package: Package;
  /** Sets a backend as the package does, which has kernels of its own on each. */
  setBackend(name: "cpu" | "webgpu"): Promise<void>;
}

/** Loads the package; nothing where the configuration that runs does not have it. */
export async function openNanogpt(): Promise<Nanogpt | undefined> {
  const name = "@genai-fi/nanogpt", place = globalThis as Record<string, unknown>;
  const before = { window: place["window"], document: place["document"] };
  // it is made for browsers: where it looks, here is one
  place["window"] = globalThis;
  place["document"] = { createElement: () => ({ getContext: () => null }) };
  const loaded = await quietly(() => importPackage<Package>(name));
  if (!loaded) return Object.assign(place, before) && undefined;
  const tf = await quietly(() => importPackage<Tf>("@tensorflow/tfjs-core"));
  const { selectBackend } = await import(new URL("backend.js", import.meta.resolve(name)).href);
  return {
    tf: tf!,
    own: loaded.layers.CausalSelfAttention.prototype,
    package: loaded,
    setBackend: (backend) => quietly(() => selectBackend(backend)),
  };
}

/** It says on the console what it does. */
async function quietly<R>(fn: () => Promise<R>): Promise<R> {
  const { log, warn } = console;
  console.log = console.warn = () => {};
  try {
    return await fn();
  } finally {
    Object.assign(console, { log, warn });
  }
}

/** The layer's forward function on this library's attention: all that has to be changed. */
export function withFlash({ tf }: Nanogpt, flashAttention: FlashAttention<Tensor>): Forward {
  const turn = (x: Tensor, { ropeCache, ropePositionOffset: pastLen = 0 }: Attributes): Tensor => {
    if (!ropeCache) return x;
    ropeCache.ensureRopeCache(x.shape[2]! + pastLen);
    return tf.engine().runKernel("Rope", { x }, { pastLen, negSin: false, ropeCache } as never);
  };
  return function (attributes, x) {
    return tf.tidy(() => {
      const [q, k, v] = this.getQKV(x), options = { layout: "bhsd", causal: true } as const;
      const out = flashAttention(turn(q, attributes), turn(k, attributes), v, {
        ...options,
        softmaxScale: this.divisor,
      });
      return this.getOutputProjection(out);
    });
  };
}

export interface Training {
  readonly length: number;
  readonly steps: number;
  /** `adam`, which hides the size of a gradient, or plain descent, which does not. */
  readonly optimizer: "adam" | "sgd";
}

const CONFIG = { nLayer: 2, nHead: 4, nEmbed: 64, mlpFactor: 4, useRope: true };
const TEXT = new TextEncoder().encode(
  "the cat sat on the mat, and the dog ate the cake; ".repeat(60),
);

/** Numbers that are the same in each run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** Trains a small model; its losses, and the milliseconds of each step. */
export async function trainWith(
  nanogpt: Nanogpt,
  forward: Forward,
  { length, steps, optimizer }: Training,
): Promise<{ losses: number[]; ms: number[] }> {
  const { tf } = nanogpt, { prototype } = nanogpt.package.layers.CausalSelfAttention;
  const own = prototype.forward, next = numbers(7), losses: number[] = [], ms: number[] = [];
  prototype.forward = forward;
  const model = new nanogpt.package.models.NanoGPTV1({
    ...CONFIG,
    vocabSize: 128,
    blockSize: length,
  });
  try {
    model.forward({ training: false }, tf.zeros([1, length], "int32")).dispose(); // makes the variables
    for (const variable of model.variables) {
      const values = Float32Array.from({ length: variable.size }, () => (next() - 0.5) * 0.3);
      if (variable.shape.length === 1) values.forEach((x, n) => values[n] = 1 + x);
      variable.assign(tf.tensor(values, variable.shape));
    }
    const update = optimizer === "adam" ? tf.train.adam(2e-3) : tf.train.sgd(0.05);
    for (let step = 0; step < steps; step++) {
      const at = Math.floor(next() * (TEXT.length - length - 1));
      const [read, wanted] = [0, 1].map((by) =>
        tf.tensor2d(TEXT.slice(at + by, at + by + length), [1, length], "int32")
      );
      const before = performance.now();
      const { value, grads } = tf.variableGrads(() => {
        const logits = model.forward({ training: true, ropePositionOffset: 0 }, read!);
        const chosen = tf.mul(tf.logSoftmax(logits), tf.oneHot(wanted! as never, 128));
        return tf.neg(tf.mean(tf.sum(chosen, -1)));
      });
      update.applyGradients(grads as never);
      losses.push((await value.data())[0]!);
      ms.push(performance.now() - before);
      tf.dispose([value, grads, read!, wanted!]);
    }
  } finally {
    prototype.forward = own;
    model.dispose();
    tf.disposeVariables();
  }
  return { losses, ms };
}

if (import.meta.main) {
  const nanogpt = (await openNanogpt())!;
  const { createFlashAttention } = await import("@flashtile/attention/tfjs");
  await nanogpt.setBackend("cpu");
  const flash = withFlash(nanogpt, await createFlashAttention<Tensor>(nanogpt.tf as never));
  console.log("milliseconds of a step of training on the cpu backend: median, least, most");
  for (const length of [64, 128, 256]) {
    const times: Record<"own" | "flash", number[]> = { own: [], flash: [] };
    const once = { length, steps: 3, optimizer: "adam" } as const; // the first warms up
    for (let round = 0; round < 3; round++) {
      for (const [name, forward] of [["own", nanogpt.own.forward], ["flash", flash]] as const) {
        times[name].push(...(await trainWith(nanogpt, forward, once)).ms.slice(1));
      }
    }
    const [own, ours] = [times.own, times.flash].map((all) => all.toSorted((a, b) => a - b));
    const say = (all: number[]) =>
      [all[all.length >> 1]!, all[0]!, all.at(-1)!].map((x) => x.toFixed(0)).join(", ");
    const faster = own![own!.length >> 1]! / ours![ours!.length >> 1]!;
    console.log(
      `${length} tokens: its own attention ${say(own!)}; flashAttention ${say(ours!)}; ` +
        `${faster.toFixed(2)} times as fast, by the least ${(own![0]! / ours![0]!).toFixed(2)}`,
    );
  }
}
