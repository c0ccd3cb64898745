/**
 * `precision: "int8"` on one thread: how far it is from float64 on data of four kinds, beside the same without the mean that
 * is taken from keys, and how fast it is beside float32 in the same run. Operands lie in the engine's memory.
 * @module
 */

import { normalNumbers } from "../../tests/random.ts";
import { type Call, forwardFlops, operands, tagged } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { race } from "../measure/race.ts";
import { rate, type Timing, timingFields } from "../measure/statistics.ts";
import { digits3, milliseconds, printTable, times } from "../measure/table.ts";
import { wallClock } from "../measure/wall_clock.ts";
import { Subject } from "../subjects/flashtile.ts";
import { distance, type Head, resultRows } from "../subjects/integer_error.ts";

const LENGTH = 1024, ROWS = 48;

/** What the data has; a channel is a column of the rows of k. */
const KINDS: Readonly<Record<string, (head: Head) => void>> = {
  "normal": () => {},
  "scores spread: q three times": ({ q }) => q.forEach((x, n) => q[n] = 3 * x),
  "channels of k off by 15, -20": ({ k, dim }) =>
    k.forEach((x, n) => k[n] = x + (n % dim === 3 ? 15 : n % dim === 17 ? -20 : 0)),
  "channels of k of deviation 10": ({ k, dim }) =>
    k.forEach((x, n) => k[n] = x * (n % dim === 3 || n % dim === 17 ? 10 : 1)),
};

export async function int8Section(context: Context): Promise<Measured[]> {
  await errors(context);
  await speeds(context);
  return [];
}

async function errors(context: Context): Promise<void> {
  const engine = await context.engine(), table: string[][] = [];
  const sampled = Array.from({ length: ROWS }, (_, n) => Math.floor(n * LENGTH / ROWS));
  for (const dim of [64, 128]) {
    for (const [kind, change] of Object.entries(KINDS)) {
      const [q, k, v] = [1, 2, 3].map((seed) =>
        Float32Array.from(normalNumbers(seed, LENGTH * dim))
      );
      const head = { q: q!, k: k!, v: v!, dim };
      change(head);
      const exact = resultRows(head, sampled, "exact"), shape = [1, LENGTH, 1, dim];
      const [tq, tk, tv] = [head.q, head.k, head.v].map((data) => ({ data, shape }));
      const { out } = await engine.attention(tq!, tk!, tv!, { precision: "int8" });
      const ours = distance(
        sampled.map((i) => Float64Array.from(out.data.subarray(i * dim, (i + 1) * dim))),
        exact,
      );
      const without = distance(resultRows(head, sampled, "as they are"), exact);
      const formula = distance(resultRows(head, sampled, "less the mean"), exact);
      const more = {
        without: without.error,
        cosineWithout: without.cosine,
        formula: formula.error,
      };
      context.results.add("int8-error", { dim, kind, ...ours, ...more });
      const cells = [ours, without].flatMap((
        { cosine, error },
      ) => [cosine.toFixed(5), error.toFixed(4)]);
      table.push([kind, `${dim}`, ...cells, formula.error.toFixed(4)]);
    }
  }
  const head = ["data", "D", "cosine", "error", "no mean", "error", "formula"];
  printTable(`int8, ${LENGTH} keys, ${ROWS} rows: error of the largest of out`, head, table);
}

async function speeds(context: Context): Promise<void> {
  const engine = await context.engine(), table: string[][] = [];
  for (const c of tagged("wasm int8", context.quick)) {
    const call: Call = { c, data: operands(c), causal: false }, flops = forwardFlops(c, false);
    const f32 = new Subject(engine, call), int8 = new Subject(engine, call, { precision: "int8" });
    const works = [f32.work("forward", "f32"), int8.work("forward", "int8")] as const;
    const [plain, ours] = await race(wallClock, works, context.race);
    for (const timing of [plain, ours]) {
      const facts = { case: c.name, threads: 1, precision: timing.name, ...timingFields(timing) };
      context.results.add("int8", { ...facts, gflops: rate(flops, timing) });
    }
    // best with best: other work on the machine only ever adds time
    const best = (
      timing: Timing,
    ) => [milliseconds(timing.minMs), digits3(flops / timing.minMs / 1e6)];
    const ratios = [plain.minMs / ours.minMs, plain.medianMs / ours.medianMs].map(times);
    table.push([c.name, ...best(plain), ...best(ours), ...ratios]);
    f32.dispose();
    int8.dispose();
  }
  const facts = engine.explain(...example(), { precision: "int8" });
  const head = ["case", "f32", "GFLOP/s", "int8", "GFLOP/s", "f32 / int8", "medians"];
  printTable(`Forward, one thread; products of bytes by ${facts.dots}`, head, table);
}

function example() {
  const x = { data: new Float32Array(64 * 64), shape: [1, 64, 1, 64] };
  return [x, x, x] as const;
}
