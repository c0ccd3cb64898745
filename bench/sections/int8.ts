/**
 * `precision: "int8"` and `"int8-pv"` on one thread: how far they are from float64 on data of five kinds, beside the same
 * without the means that are taken from keys and values, and how fast they are beside float32 in the same run. Operands lie in
 * the engine's memory.
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
import { distance, type Head, resultRows, type Rounding } from "../subjects/integer_error.ts";

const LENGTH = 1024, ROWS = 48;

/** The precisions, and what they make of integers. */
const PRECISIONS = [["int8", "scores"], ["int8-pv", "scores and outputs"]] as const;

/** Two channels, which are columns of the rows of k or v, become larger by these. */
const offset = (x: Float32Array, dim: number) =>
  x.forEach((y, n) => x[n] = y + (n % dim === 3 ? 15 : n % dim === 17 ? -20 : 0));

/** What the data has. */
const KINDS: Readonly<Record<string, (head: Head) => void>> = {
  "normal": () => {},
  "scores spread: q three times": ({ q }) => q.forEach((x, n) => q[n] = 3 * x),
  "channels of k off by 15, -20": ({ k, dim }) => offset(k, dim),
  "channels of k of deviation 10": ({ k, dim }) =>
    k.forEach((x, n) => k[n] = x * (n % dim === 3 || n % dim === 17 ? 10 : 1)),
  "v off by 5, scores spread": ({ q, v }) => {
    q.forEach((x, n) => q[n] = 3 * x);
    v.forEach((x, n) => v[n] = x + 5);
  },
};

export async function int8Section(context: Context): Promise<Measured[]> {
  await errors(context);
  await speeds(context);
  return [];
}

/** Errors of one precision: of the engine, of its definition, and of that without means. */
async function errorsOf(
  context: Context,
  head: Head,
  [precision, of]: typeof PRECISIONS[number],
): Promise<Record<"cosine" | "error" | "without" | "cosineWithout" | "formula", number>> {
  const engine = await context.engine(), { dim } = head, shape = [1, LENGTH, 1, dim];
  const sampled = Array.from({ length: ROWS }, (_, n) => Math.floor(n * LENGTH / ROWS));
  const rows = (rounding: Rounding) => resultRows(head, sampled, rounding);
  const exact = rows({ of: "nothing", means: false });
  const [q, k, v] = [head.q, head.k, head.v].map((data) => ({ data, shape }));
  const { out } = await engine.attention(q!, k!, v!, { precision });
  const got = sampled.map((i) => Float64Array.from(out.data.subarray(i * dim, (i + 1) * dim)));
  const without = distance(rows({ of, means: false }), exact);
  return {
    ...distance(got, exact),
    ...{ without: without.error, cosineWithout: without.cosine },
    formula: distance(rows({ of, means: true }), exact).error,
  };
}

async function errors(context: Context): Promise<void> {
  const table: string[][] = [];
  for (const dim of [64, 128]) {
    for (const [kind, change] of Object.entries(KINDS)) {
      const [q, k, v] = [1, 2, 3].map((seed) =>
        Float32Array.from(normalNumbers(seed, LENGTH * dim))
      );
      const head = { q: q!, k: k!, v: v!, dim }, cells: string[] = [];
      change(head);
      for (const one of PRECISIONS) {
        const found = await errorsOf(context, head, one), { cosine, error, without } = found;
        context.results.add("int8-error", { dim, kind, precision: one[0], ...found });
        cells.push(cosine.toFixed(5), ...[error, without, found.formula].map((x) => x.toFixed(4)));
      }
      table.push([kind, `${dim}`, ...cells]);
    }
  }
  const columns = PRECISIONS.flatMap(([name]) => [name, "error", "no means", "formula"]);
  printTable(
    `Integers, ${LENGTH} keys, ${ROWS} rows: cosine, error of the largest of out`,
    ["data", "D", ...columns],
    table,
  );
}

async function speeds(context: Context): Promise<void> {
  const engine = await context.engine(), table: string[][] = [];
  for (const c of tagged("wasm int8", context.quick)) {
    const call: Call = { c, data: operands(c), causal: false }, flops = forwardFlops(c, false);
    const subjects = (["f32", "int8", "int8-pv"] as const).map((precision) =>
      [precision, new Subject(engine, call, { precision })] as const
    );
    const [plain, ...others] = await race(
      wallClock,
      subjects.map(([precision, subject]) => subject.work("forward", precision)),
      context.race,
    );
    for (const timing of [plain!, ...others]) {
      const facts = { case: c.name, threads: 1, precision: timing.name, ...timingFields(timing) };
      context.results.add("int8", { ...facts, gflops: rate(flops, timing) });
    }
    // best with best: other work on the machine only ever adds time
    const best = ({ minMs }: Timing) => [milliseconds(minMs), digits3(flops / minMs / 1e6)];
    const ratios = others.flatMap(({ minMs, medianMs }) =>
      [plain!.minMs / minMs, plain!.medianMs / medianMs].map(times)
    );
    table.push([c.name, ...[plain!, ...others].flatMap(best), ...ratios]);
    subjects.forEach(([, subject]) => subject.dispose());
  }
  const facts = engine.explain(...example(), { precision: "int8" });
  const named = ["f32", "int8", "int8-pv"].flatMap((name) => [name, "GFLOP/s"]);
  const head = ["case", ...named, "f32 / int8", "medians", "f32 / int8-pv", "medians"];
  printTable(`Forward, one thread; products of bytes by ${facts.dots}`, head, table);
}

function example() {
  const x = { data: new Float32Array(64 * 64), shape: [1, 64, 1, 64] };
  return [x, x, x] as const;
}
