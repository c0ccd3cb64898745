/** A KV cache beside a model of it in plain arrays: any order of any actions, with good and bad arguments. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Engine, KvCache, KvCacheOptions, Precision } from "../../mod.ts";
import { undocumented } from "./oracle.ts";

const HEADS = 2, DIM = 3;

/** What a mean of some 40 numbers below 200 may be off by: half a step of them, or of their sum in float16. */
const OFF: Readonly<Record<Precision, number>> = { f32: 1e-3, f16: 2, int8: 1e-3, "int8-pv": 0.8 };

/** What is done to a cache. Numbers of sequences may be none that it has. */
export type CacheAction =
  | { readonly do: "append"; readonly sequences: readonly number[]; readonly rows: number }
  | { readonly do: "truncate"; readonly sequence: number; readonly length: number }
  | { readonly do: "free" | "fork" | "copy" | "read"; readonly sequence: number }
  | {
    readonly do: "call";
    readonly sequences: readonly number[];
    /** Rows of q of each. */
    readonly rows: number;
    readonly precision: Precision;
  };

/** A cache and actions on it. */
export interface CacheTrial {
  readonly sequences: number;
  readonly room: { readonly capacity: number } | {
    readonly pageSize: number;
    readonly pages: number;
  };
  readonly dtype: "f32" | "bf16";
  readonly actions: readonly CacheAction[];
}

const sequence = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 0, max: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(-1, 4, 1.5, NaN, 2 ** 32, "0" as never, null as never) },
);
const length = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 0, max: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom(-1, 0.5, NaN, 2 ** 40) },
);
const some = fc.array(sequence, { maxLength: 3 });

const actions: fc.Arbitrary<CacheAction> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("append" as const),
      sequences: some,
      rows: fc.integer({ min: 0, max: 6 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("truncate" as const), sequence, length }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("free" as const, "fork", "fork", "copy", "read"),
      sequence,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("call" as const),
      sequences: some,
      rows: fc.constantFrom(1, 1, 20),
      precision: fc.constantFrom("f32", "f32", "f16", "int8", "int8-pv"),
    }),
  },
);

/** Any cache, and what is done to it. */
export const cacheTrials: fc.Arbitrary<CacheTrial> = fc.record({
  sequences: fc.integer({ min: 1, max: 4 }),
  room: fc.oneof(
    fc.record({ capacity: fc.integer({ min: 1, max: 16 }) }),
    fc.record({ pageSize: fc.integer({ min: 1, max: 5 }), pages: fc.integer({ min: 1, max: 8 }) }),
  ),
  dtype: fc.constantFrom("f32", "bf16"),
  actions: fc.array(actions, { maxLength: 30 }),
});

/** The rows of each sequence, each by one number that all of its elements are. */
type Model = number[][];

/** Rows of one number each, which bf16 holds too. */
function rowsOf(values: readonly number[][]): { data: Float32Array; shape: number[] } {
  const data = Float32Array.from(values.flat().flatMap((x) => Array<number>(HEADS * DIM).fill(x)));
  return { data, shape: [values.length, values[0]?.length ?? 0, HEADS, DIM] };
}

class Session {
  readonly #engine: Engine;
  readonly #cache: KvCache;
  readonly #model: Model;
  #next = 0;

  constructor(engine: Engine, { sequences, room, dtype }: CacheTrial) {
    this.#engine = engine;
    const options = { sequences, kvHeads: HEADS, headDim: DIM, dtype, ...room } as KvCacheOptions;
    this.#cache = engine.kvCache(options);
    this.#model = Array.from({ length: sequences }, () => []);
  }

  get cache(): KvCache {
    return this.#cache;
  }

  /** Does it to the cache, then to the model; where the cache refuses, the model stays as it is. */
  async act(action: CacheAction): Promise<void> {
    const cache = this.#cache, model = this.#model;
    switch (action.do) {
      case "append": {
        const { sequences } = action;
        const added = sequences.map(() =>
          Array.from({ length: action.rows }, () => this.#next++ % 200)
        );
        cache.append(rowsOf(added), rowsOf(added), { sequences });
        sequences.forEach((s, n) => model[s]!.push(...added[n]!));
        return;
      }
      case "truncate":
        cache.truncate(action.sequence, action.length);
        model[action.sequence]!.length = action.length;
        return;
      case "free":
        cache.free(action.sequence);
        model[action.sequence] = [];
        return;
      case "fork": {
        const target = await cache.fork(action.sequence);
        assert.equal(model[target]!.length, 0);
        model[target] = [...model[action.sequence]!];
        return;
      }
      case "copy": {
        const source = [...model[action.sequence] ?? []];
        const target = await cache.import(await cache.export(action.sequence));
        assert.equal(model[target]!.length, 0);
        model[target] = source;
        return;
      }
      case "read":
        return await this.#compare();
      case "call":
        return await this.#call(action);
    }
  }

  async #call({ sequences, rows, precision }: CacheAction & { do: "call" }): Promise<void> {
    const { keys, values } = this.#cache;
    const q = {
      data: new Float32Array(sequences.length * rows * HEADS * DIM),
      shape: [sequences.length, rows, HEADS, DIM],
    };
    const { out } = await this.#engine.attention(q, keys, values, { sequences, precision });
    sequences.forEach((s, n) => { // equal scores: the mean of the rows
      const model = this.#model[s]!,
        mean = model.reduce((a, b) => a + b, 0) / Math.max(1, model.length);
      for (let at = n * rows * HEADS * DIM; at < (n + 1) * rows * HEADS * DIM; at++) {
        const got = out.data[at]!, off = Math.abs(got - mean);
        assert.ok(
          off <= OFF[precision],
          `sequence ${s}, ${precision}: ${got}, the mean is ${mean}`,
        );
      }
    });
  }

  async #compare(): Promise<void> {
    const model = this.#model, longest = Math.max(...model.map(({ length }) => length));
    const size = longest * HEADS * DIM, read = await this.#cache.keys.read("f32");
    model.forEach((rows, s) => {
      const got = Array.from({ length: longest }, (_, row) => read[s * size + row * HEADS * DIM]!);
      assert.deepEqual(got, [...rows, ...Array(longest - rows.length).fill(0)], `sequence ${s}`);
    });
  }

  /** The rest of what a cache says of itself. */
  async check(): Promise<void> {
    assert.deepEqual([...this.#cache.lengths], this.#model.map(({ length }) => length));
    await this.#compare();
  }
}

/** Runs a trial: every refusal is a documented one and changes nothing, every other action is what the model says. */
export async function runCacheTrial(engine: Engine, trial: CacheTrial): Promise<void> {
  let left = 0;
  for (let again = 0; again < 3; again++) { // scratch grows with the largest call so far
    const before = engine.memory.used;
    await attempt(engine, trial);
    left = engine.memory.used - before;
    if (left <= 0) return;
  }
  throw new Error(`${left} bytes of memory are left`);
}

async function attempt(engine: Engine, trial: CacheTrial): Promise<void> {
  const session = new Session(engine, trial);
  try {
    for (const action of trial.actions) {
      try {
        await session.act(action);
      } catch (error) {
        if ((error as Error).name === "AssertionError") throw error;
        const what = undocumented(error, new Set());
        if (what) throw new Error(`${JSON.stringify(action)}: ${what}`, { cause: error });
      }
      await session.check();
    }
  } finally {
    session.cache.dispose();
  }
}
