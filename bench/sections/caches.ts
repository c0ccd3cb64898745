/**
 * Decode from KV caches: what a storage type costs or saves, pages, many sequences of different lengths in one call, and
 * a beginning that sequences share.
 * @module
 */

import type { Context } from "../context.ts";
import type { Measured, Value } from "../goals.ts";
import { race, type Work } from "../measure/race.ts";
import { type Timing, timingFields } from "../measure/statistics.ts";
import { digits3, milliseconds, percent, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import type { Engine, KvCache, KvCacheOptions, Tensor } from "../../mod.ts";

const HEADS = { queryHeads: 32, kvHeads: 8, headDim: 128 };
const DTYPES = ["f32", "f16", "bf16", "i8"] as const;
/** Rows that are appended at a time. */
const PIECE = 4096;

/** Numbers that need no memory of their own: every row is the same few, shifted. */
function numbers(n: number): Float32Array {
  let seed = 1;
  return Float32Array.from({ length: n }, () => {
    seed = Math.imul(seed, 1103515245) + 12345 & 0x7fffffff;
    return seed / 2 ** 30 - 1;
  });
}

/** Appends rows to sequences. */
function fill(cache: KvCache, kvHeads: number, lengths: readonly number[]): void {
  const { headDim } = HEADS, data = numbers(PIECE * kvHeads * headDim);
  lengths.forEach((length, sequence) => {
    for (let done = 0; done < length; done += PIECE) {
      const rows = Math.min(PIECE, length - done), n = rows * kvHeads * headDim;
      const piece = { data: data.subarray(0, n), shape: [1, rows, kvHeads, headDim] };
      cache.append(piece, piece, { sequences: [sequence] });
    }
  });
}

/** One token of some sequences. */
class Step {
  readonly #engine: Engine;
  readonly #cache: KvCache;
  readonly #q: Tensor;
  readonly #sequences: readonly number[];

  constructor(engine: Engine, cache: KvCache, sequences: readonly number[], queryHeads: number) {
    const { headDim } = HEADS, batch = sequences.length;
    this.#engine = engine;
    this.#cache = cache;
    this.#sequences = sequences;
    const shape = [batch, 1, queryHeads, headDim];
    this.#q = engine.tensor(numbers(batch * queryHeads * headDim), shape);
  }

  work(name: string): Work {
    return { name, run: () => this.run() };
  }

  async run(): Promise<void> {
    const { keys, values } = this.#cache, options = { causal: true, sequences: this.#sequences };
    const { out, lse } = await this.#engine.attention(this.#q, keys, values, options);
    out.dispose();
    lse.dispose();
  }

  dispose(): void {
    this.#q.dispose();
  }
}

interface Row {
  readonly about: string;
  readonly timing: Timing;
  readonly gbs?: number;
  readonly ratio?: number;
}

export async function cachesSection(context: Context): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const threads of context.threads) {
    const engine = await context.engine(threads), limits = await context.limits(threads);
    const sections = [await storage(context, engine), await ragged(context, engine)];
    sections.push(await prefix(context, engine, 32, 8), await prefix(context, engine, 8, 8));
    const rows = sections.flat().map(({ about, timing, gbs, ratio }) => {
      const share = gbs === undefined ? undefined : gbs / limits.readGBs;
      const figures = { ...gbs && { gbs }, ...share && { share }, ...ratio && { ratio } };
      context.results.add("caches", { case: about, threads, ...figures, ...timingFields(timing) });
      const cells = [milliseconds(timing.medianMs), gbs ? digits3(gbs) : ""];
      return [about, ...cells, share ? percent(share) : "", ratio ? times(ratio) : ""];
    });
    const head = ["what", "time", "GB/s", "of read", "ratio"];
    printTable(`Caches, ${threads} thread${threads > 1 ? "s" : ""}`, head, rows);
    if (threads !== 2) continue;
    const value = (about: string, of: "share" | "ratio"): Value => {
      const row = sections.flat().find((row) => row.about === about);
      return {
        of: about,
        value: of === "ratio" ? row?.ratio ?? NaN : (row?.gbs ?? NaN) / limits.readGBs,
      };
    };
    measured.push(
      { id: "wasm cache f32", values: [value("f32", "share")] },
      { id: "wasm cache f16", values: [value("f16", "share")] },
      { id: "wasm cache f16 ratio", values: [value("f16", "ratio")] },
      { id: "wasm cache i8 ratio", values: [value("i8", "ratio")] },
      { id: "wasm cache ragged", values: [value(RAGGED, "ratio")] },
      { id: "wasm cache prefix", values: [value(prefixName(8, 8), "ratio")] },
    );
  }
  return measured;
}

/** One token against 32768 keys, by storage type and pages; ratio: the time of f32 over it. */
async function storage(context: Context, engine: Engine): Promise<Row[]> {
  const length = context.quick ? 8192 : 32768, { kvHeads, headDim, queryHeads } = HEADS;
  const sizes = { sequences: 1, kvHeads, headDim }, rows: Row[] = [];
  // f32 beside each: all at once would be more memory than some machines have
  for (const dtype of DTYPES) {
    const paged = { ...sizes, dtype, pageSize: 16, pages: Math.ceil(length / 16) };
    const rooms: [string, KvCacheOptions][] = [
      ["f32", { ...sizes, capacity: length }],
      [dtype, { ...sizes, dtype, capacity: length }],
      [`${dtype}, pages of 16`, paged],
    ];
    const chosen = dtype === "f32" ? rooms.slice(1) : rooms;
    const caches = chosen.map(([_, room]) => engine.kvCache(room));
    for (const cache of caches) fill(cache, kvHeads, [length]);
    const steps = caches.map((cache) => new Step(engine, cache, [0], queryHeads));
    const works = steps.map((step, n) => step.work(chosen[n]![0]));
    const timings = await race(wallClock, works, context.race);
    timings.forEach((timing, n) => {
      const about = chosen[n]![0], ratio = timings[0]!.medianMs / timing.medianMs;
      if (about === "f32" && dtype !== "f32") return;
      rows.push({ about, timing, gbs: caches[n]!.bytes / timing.medianMs / 1e6, ratio });
    });
    for (const step of steps) step.dispose();
    for (const cache of caches) cache.dispose();
  }
  return rows;
}

const RAGGED = "16 sequences of 100 to 4000";

/** Sequences of many lengths in one call; ratio: its time over the sum of their own calls. */
async function ragged(context: Context, engine: Engine): Promise<Row[]> {
  const { kvHeads, headDim, queryHeads } = HEADS;
  const lengths = Array.from({ length: 16 }, (_, n) => 100 + 260 * n),
    all = lengths.map((_, n) => n);
  const pages = lengths.reduce((sum, n) => sum + Math.ceil(n / 16), 0);
  const cache = engine.kvCache({ sequences: 16, kvHeads, headDim, pageSize: 16, pages });
  fill(cache, kvHeads, lengths);
  const together = new Step(engine, cache, all, queryHeads);
  const alone = all.map((s) => new Step(engine, cache, [s], queryHeads));
  const apart: Work = {
    name: "one after the other",
    run: async () => {
      for (const step of alone) await step.run();
    },
  };
  const works = [together.work(RAGGED), apart] as const;
  const [one, many] = await race(wallClock, works, context.race);
  const gbs = 2 * 4 * kvHeads * headDim * lengths.reduce((a, b) => a + b) / one.medianMs / 1e6;
  for (const step of [together, ...alone]) step.dispose();
  cache.dispose();
  return [{ about: RAGGED, timing: one, gbs, ratio: one.medianMs / many.medianMs }];
}

const prefixName = (queryHeads: number, kvHeads: number) =>
  `4096 keys shared by 8 sequences, ${queryHeads} heads over ${kvHeads}`;

/** Forks of one prompt, each a few tokens on; ratio: the time of all of them over that of one. */
async function prefix(
  context: Context,
  engine: Engine,
  queryHeads: number,
  kvHeads: number,
): Promise<Row[]> {
  const { headDim } = HEADS, length = 4096, sequences = 8, pages = length / 16 + sequences;
  const cache = engine.kvCache({ sequences, kvHeads, headDim, pageSize: 16, pages });
  fill(cache, kvHeads, [length]);
  for (let n = 1; n < sequences; n++) await cache.fork(0);
  const all = Array.from({ length: sequences }, (_, n) => n);
  const few = numbers(sequences * 8 * kvHeads * headDim);
  const rows = { data: few, shape: [sequences, 8, kvHeads, headDim] };
  cache.append(rows, rows);
  const steps = [
    new Step(engine, cache, all, queryHeads),
    new Step(engine, cache, [0], queryHeads),
  ];
  const about = prefixName(queryHeads, kvHeads);
  const works = [steps[0]!.work(about), steps[1]!.work("one of them")] as const;
  const [many, one] = await race(wallClock, works, context.race);
  for (const step of steps) step.dispose();
  cache.dispose();
  return [{ about, timing: many, ratio: many.medianMs / one.medianMs }];
}
