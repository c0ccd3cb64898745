// A first result: a call long enough to start threads, of which a few rows are computed again in float64.
import type { Engine } from "@flashtile/attention";
import { errorOf, makeInputs } from "../../attention/inputs.ts";

/** How it went. */
export interface Proof {
  readonly heads: number;
  readonly length: number;
  /** The second call: the first one starts threads, or compiles kernels of a GPU. */
  readonly ms: number;
  readonly error: number;
}

/** Computes it twice and checks the result. */
export async function prove(engine: Engine): Promise<Proof> {
  const heads = 4,
    length = 1024,
    headDim = 64,
    inputs = makeInputs(heads, length, headDim);
  const shape = [1, heads, length, headDim];
  const { q, k, v } = inputs;
  const run = () =>
    engine.attention(
      { data: q, shape },
      { data: k, shape },
      { data: v, shape },
      {
        layout: "bhsd",
      },
    );
  await run();
  const begin = performance.now(), { out } = await run();
  const ms = performance.now() - begin;
  return { heads, length, ms, error: errorOf(inputs, out.data) };
}
