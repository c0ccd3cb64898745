// What every host runs on an engine: a call that is wrong, forward and backward, then the last tokens again
// as a decoder would compute them.
import { attention, type Engine } from "@flashtile/attention";
import { inputs, SIZES, type Values } from "./inputs.ts";
import { forwardBackward } from "./job.ts";
import type { Mistake, TourReport } from "./messages.ts";

/** Tokens that are decoded one by one, behind a prompt of all others. */
export const STEPS = 3;
/** Calls until threads are up or known to be missing. They start when large calls come. */
const CALLS = 12;
/** Milliseconds for which workers are waited for. */
const READY_MS = 2000;

/** Name and message of what a call throws. */
export async function mistake(run: () => Promise<unknown>): Promise<Mistake> {
  try {
    await run();
    return { name: "nothing", message: "" };
  } catch (error) {
    const { name, message } = error as Error;
    return { name, message };
  }
}

/** Some rows of a tensor. */
function rows({ data, shape }: Values, from: number, to: number): Values {
  const [batch = 1, length = 1, heads = 1, dim = 1] = shape, row = data.length / length;
  return { data: data.slice(from * row, to * row), shape: [batch, to - from, heads, dim] };
}

/** The last rows of out, from a cache that grows by a token at a time. */
async function decode(engine: Engine): Promise<number[]> {
  const { q, k, v } = inputs(), { length, kvHeads, headDim, valueDim } = SIZES;
  const room = { sequences: 1, capacity: length };
  const cache = engine.kvCache({ ...room, kvHeads, headDim, valueDim });
  const sequences = [0], decoded: number[] = [];
  try {
    const append = (from: number, to: number) =>
      cache.append(rows(k, from, to), rows(v, from, to), { sequences });
    append(0, length - STEPS);
    for (let n = length - STEPS; n < length; n++) {
      append(n, n + 1);
      const options = { causal: true, sequences };
      const { out } = await engine.attention(rows(q, n, n + 1), cache.keys, cache.values, options);
      decoded.push(...out.data);
    }
  } finally {
    cache.dispose();
  }
  return decoded;
}

/** Calls until the workers that `ready` counts are up, or long enough to know that none comes. */
async function warmUp(engine: Engine, ready: () => number): Promise<void> {
  const threads = () => engine.target.backend === "wasm" ? engine.target.threads : 1;
  for (let n = 0; n < CALLS && threads() > 1; n++) await forwardBackward(engine);
  for (let ms = 0; ms < READY_MS && threads() > 1 && ready() === 0; ms += 20) {
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Everything, on one engine. `ready` says how many workers are up, where the host tells. */
export async function tour(engine: Engine, ready: () => number = () => 1): Promise<TourReport> {
  const { q, k, v } = inputs();
  const short = rows(k, 0, 5); // v has other keys
  const wrong = await mistake(() => attention(q, short, v, { engine, causal: true }));
  const numbers = await forwardBackward(engine);
  const decoded = await decode(engine);
  await warmUp(engine, ready);
  const { backend, reason, target } = engine;
  const threads = target.backend === "wasm" ? target.threads : 0;
  return { numbers, decoded, mistake: wrong, backend, reason, threads, ready: ready() };
}
