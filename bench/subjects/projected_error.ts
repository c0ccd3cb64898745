/**
 * How far approximations are from exact attention on what a trained model computes with: q, k and v
 * of the demo's byte model, trained for a while on this project's pages, on text that it has not seen.
 * @module
 */

import {
  attention,
  attentionBackward,
  type AttentionOptions,
  type Engine,
  type HostTensor,
} from "../../mod.ts";
import { Adam } from "../../examples/byte_lm/adam.ts";
import { floats } from "../../examples/byte_lm/floats.ts";
import { addLinear, addLinearGradients } from "../../examples/byte_lm/linear.ts";
import { ByteModel, type LayerOperands } from "../../examples/byte_lm/model.ts";
import type { Parameter } from "../../examples/byte_lm/parameters.ts";
import { Random } from "../../examples/byte_lm/random.ts";
import { loadText } from "../../examples/byte_lm/load_text.ts";
import type { Text } from "../../examples/byte_lm/text.ts";
import { recentLoss, train } from "../../examples/byte_lm/train.ts";
import { nearBlocks } from "../random_blocks.ts";
import { randomProjection, ROWS } from "./linformer.ts";

/** The demo's model with a longer context; one kv head, so that k and v are plain matrices. */
const SHAPE = { layers: 2, heads: 4, kvHeads: 1, headDim: 16, dim: 64 };

/** Projections of one layer's keys and values, `[ROWS, length]` each. */
export type Projections = readonly [e: Float32Array, f: Float32Array];

export interface Trained {
  readonly model: ByteModel;
  readonly text: Text;
  /** Of the last steps, in nats per byte. */
  readonly loss: number;
}

export async function trainedModel(
  engine: Engine,
  context: number,
  steps: number,
): Promise<Trained> {
  const text = await loadText(undefined, context), { signal } = new AbortController();
  const model = new ByteModel({ ...SHAPE, context }, new Random(1), engine);
  const schedule = { batch: 1, steps, seconds: Infinity, rate: 0.006, seed: 1 };
  const history = await train(model, text, schedule, signal, () => {});
  return { model, text, loss: recentLoss(history) };
}

/** q, k and v of every layer, and the exact result, for pieces of a text. */
export interface Sample extends LayerOperands {
  readonly layer: number;
  readonly exact: Float32Array;
}

/** Pieces from evenly spaced places of `bytes`. Linformer has no causal form: no mask is on. */
export async function sample(
  { model }: Trained,
  engine: Engine,
  bytes: Uint8Array,
  length: number,
  pieces: number,
): Promise<Sample[]> {
  const all: Sample[] = [];
  for (let n = 0; n < pieces; n++) {
    const from = Math.floor((bytes.length - length) * n / Math.max(1, pieces - 1));
    const layers = await model.operands(bytes.subarray(from, from + length));
    for (const [layer, { q, k, v }] of layers.entries()) {
      const { out } = await attention(q, k, v, { engine });
      all.push({ layer, q, k, v, exact: floats(out) });
    }
  }
  return all;
}

/** `[ROWS, length] · [length, headDim]`. */
function projected(weights: Float32Array, x: HostTensor): HostTensor {
  const data = new Float32Array(ROWS * SHAPE.headDim);
  addLinear(weights, floats(x), data, weights.length / ROWS, SHAPE.headDim);
  return { data, shape: [1, ROWS, 1, SHAPE.headDim] };
}

/** Root of the summed squares of the differences over that of the exact results. */
async function relativeError(
  samples: readonly Sample[],
  result: (sample: Sample) => Promise<Float32Array>,
): Promise<number> {
  let difference = 0, whole = 0;
  for (const one of samples) {
    const found = await result(one);
    for (const [n, exact] of one.exact.entries()) {
      difference += (found[n]! - exact) ** 2;
      whole += exact ** 2;
    }
  }
  return Math.sqrt(difference / whole);
}

export function linformerError(
  engine: Engine,
  samples: readonly Sample[],
  [e, f]: Projections,
): Promise<number> {
  return relativeError(samples, async ({ q, k, v }) => {
    return floats((await attention(q, projected(e, k), projected(f, v), { engine })).out);
  });
}

/** Exact attention to the blocks near the diagonal and the first one. */
export function nearBlocksError(
  engine: Engine,
  samples: readonly Sample[],
  length: number,
  each: number,
): Promise<number> {
  const options: AttentionOptions = { blockMask: nearBlocks(length, each), engine };
  return relativeError(samples, async ({ q, k, v }) => {
    return floats((await attention(q, k, v, options)).out);
  });
}

export function randomProjections(length: number, layer: number): Projections {
  return [randomProjection(length, 10 + 2 * layer), randomProjection(length, 11 + 2 * layer)];
}

/** Means of neighbours: what the paper calls pooling. Nothing is learned. */
export function pooling(length: number): Projections {
  const width = length / ROWS, weights = new Float32Array(ROWS * length);
  for (let i = 0; i < ROWS; i++) {
    weights.fill(1 / width, i * length + i * width, i * length + (i + 1) * width);
  }
  return [weights, weights.slice()];
}

/**
 * Projections of one layer, fitted to the exact results of `samples` from a start, by the gradients
 * of this same attention; the best on some of them on the way, the start included. The model around
 * them stays as it is.
 */
export async function learned(
  engine: Engine,
  samples: readonly Sample[],
  start: Projections,
  steps: number,
): Promise<Projections> {
  const parameters = start.map((weights, n): Parameter => ({
    name: "EF"[n]!,
    value: weights.slice(),
    gradient: new Float32Array(weights.length),
  }));
  const now = (): Projections => [parameters[0]!.value, parameters[1]!.value];
  const adam = new Adam(parameters), few = samples.slice(0, 4);
  let best = start, least = await linformerError(engine, few, start);
  for (let step = 1; step <= steps; step++) {
    await addGradients(engine, samples[step % samples.length]!, parameters);
    adam.step(RATE * (1 - (step - 1) / steps), Infinity);
    if (step % LOOK_EVERY !== 0 && step !== steps) continue;
    const error = await linformerError(engine, few, now());
    if (error < least) [best, least] = [[now()[0].slice(), now()[1].slice()], error];
  }
  return best;
}

/** Of half the squared distance from the exact result of one sample. */
async function addGradients(
  engine: Engine,
  { q, k, v, exact }: Sample,
  [e, f]: readonly Parameter[],
): Promise<void> {
  const small = { k: projected(e!.value, k), v: projected(f!.value, v) };
  const { out, lse } = await attention(q, small.k, small.v, { engine });
  const dOut = { data: floats(out).map((x, n) => x - exact[n]!), shape: out.shape };
  const { dk, dv } = await attentionBackward(dOut, { q, ...small, out, lse }, { engine });
  for (const [{ value, gradient }, x, dx] of [[e!, k, dk], [f!, v, dv]] as const) {
    const length = value.length / ROWS, unused = new Float32Array(floats(x).length);
    addLinearGradients(value, floats(x), floats(dx), gradient, unused, length, SHAPE.headDim);
  }
}

/** Of Adam. Each row of a projection has thousands of weights: larger steps undo the start. */
const RATE = 0.0001;
const LOOK_EVERY = 16;
