/**
 * Numbers near the ends of float32, in q, k, scale, bias, slopes, sinks and their products: all of them are numbers, and
 * only minus infinity hides. Finite rows give out and lse as the formula in float64 rounds them, and weights of gradients
 * add up to 1.
 */

import assert from "node:assert/strict";
import { engineConfigurations, type Session } from "./backends.ts";
import { attentionF64 } from "./reference/attention_f64.ts";
import {
  describeProblem,
  type ReferenceOptions,
  STATISTICS,
  type TestTensor,
} from "./reference/problem.ts";
import { runTakes } from "./selection.ts";
import { testSessions } from "./sessions.ts";

const LOWEST = -3.4028234663852886e38, HIDDEN = -Infinity;
const f = Math.fround;

interface Extreme {
  readonly about: string;
  readonly q: TestTensor;
  readonly k: TestTensor;
  readonly options?: ReferenceOptions;
}

const tensor = (shape: readonly number[], value: (n: number) => number): TestTensor => {
  const n = shape.reduce((a, b) => a * b, 1);
  return { data: Float32Array.from({ length: n }, (_, i) => value(i)), shape };
};
const wave = (seed: number) => (n: number) => Math.sin(seed + 1.7 * n);
const pick = (...of: number[]) => (n: number) => of[(7 * n + 3) % of.length]!;

/** Few rows (decode) and more (tiles), of two heads. */
const KEYS = 33;
function cases(rows: number): Extreme[] {
  const q = tensor([1, rows, 2, 4], wave(1)), k = tensor([1, KEYS, 1, 4], wave(2));
  // one column that is not 0: products are exact, so that there is only one right answer
  const column = (value: (n: number) => number) => (n: number) => n % 4 ? 0 : value(n / 4);
  const one = (value: (n: number) => number) => tensor([1, rows, 2, 4], column(value));
  const keys = (value: (n: number) => number) => tensor([1, KEYS, 1, 4], column(value));
  const bias = (...of: number[]) => ({ bias: tensor([2, rows, KEYS], pick(...of)) });
  const mask = {
    mask: {
      data: Uint8Array.from({ length: rows * KEYS }, (_, n) => +(n % 3 > 0)),
      shape: [rows, KEYS],
    },
  };
  return [
    { about: "bias lowest", q, k, options: bias(LOWEST) },
    { about: "bias lowest, causal", q, k, options: { ...bias(LOWEST), causal: true } },
    { about: "bias lowest, mask", q, k, options: { ...bias(LOWEST), ...mask } },
    { about: "bias lowest, softcap", q, k, options: { ...bias(LOWEST), softcap: 20 } },
    { about: "the largest softcap", q, k, options: { ...bias(0, 1), softcap: 3.4e38 } },
    {
      about: "biases of several sizes",
      q,
      k,
      options: bias(LOWEST, f(-3e38), f(-2.5e38), LOWEST, f(-2.4e38)),
    },
    { about: "lowest among ordinary", q, k, options: bias(LOWEST, -1, LOWEST, 2) },
    { about: "lowest among hidden", q, k, options: bias(HIDDEN, LOWEST, HIDDEN) },
    { about: "far below every sentinel", q, k, options: bias(f(-1e38), f(-1e38), f(-1.5e38)) },
    { about: "about the knee", q, k, options: bias(f(-8.4e37), f(-8.6e37), f(-9e37)) },
    { about: "bias -1e30", q, k, options: bias(f(-1e30)) },
    { about: "bias highest", q, k, options: bias(-LOWEST, 0) },
    { about: "bias of both ends", q, k, options: bias(-LOWEST, LOWEST) },
    { about: "all hidden", q, k, options: bias(HIDDEN) },
    { about: "products -2e38", q: one(() => f(1e19)), k: keys(pick(f(-2e19), f(-2.1e19))) },
    { about: "products -3e38", q: one(() => f(1e19)), k: keys(pick(f(-3e19), f(-3.1e19))) },
    { about: "products 3e38", q: one(() => f(1e19)), k: keys(pick(f(3e19), f(2e19))) },
    {
      about: "products -3e38, mask",
      q: one(() => f(1e19)),
      k: keys(pick(f(-3e19), f(-3.2e19))),
      options: mask,
    },
    {
      about: "products -3e38, bias 0",
      q: one(() => f(1e19)),
      k: keys(() => f(-3e19)),
      options: bias(0),
    },
    { about: "products -1e30", q: one(() => f(1e15)), k: keys(pick(f(-1e15), f(-1.5e15))) },
    {
      about: "scale 3e38",
      q: one(() => f(1e-20)),
      k: keys(pick(f(1e-19), f(2e-19))),
      options: { softmaxScale: f(3e38) },
    },
    {
      about: "scale 3e38, down",
      q: one(() => f(1e-20)),
      k: keys(() => f(-1e-18)),
      options: { softmaxScale: f(3e38) },
    },
    { about: "softcap 3e38", q, k, options: { softcap: f(3e38) } },
    {
      about: "slopes 1e37",
      q,
      k,
      options: { alibiSlopes: tensor([2], () => f(1e37)), causal: "top-left" },
    },
    { about: "sink lowest", q, k, options: { ...bias(LOWEST), sink: tensor([2], () => LOWEST) } },
    { about: "sink 0", q, k, options: { ...bias(LOWEST), sink: tensor([2], () => 0) } },
    {
      about: "rising by hundreds",
      q,
      k,
      options: { bias: tensor([2, rows, KEYS], (n) => 300 * (n % KEYS)) },
    },
  ];
}

/** Whether a run takes a case on an engine: on a GPU the core has those without options, whose kernels are shared. */
function taken(engine: string, rows: number, options: ReferenceOptions): boolean {
  const names = Object.keys(options).filter((name) => !["causal", "softmaxScale"].includes(name));
  const core = rows > 1 && names.length === 0;
  return engine !== "webgpu" || runTakes(core ? "core" : "all");
}

function onEngines(name: string, fn: (session: Session, engine: string) => Promise<void>): void {
  testSessions(name, engineConfigurations, fn);
}

function assertNear(got: number, want: number, scale: number, about: string): void {
  const near = Object.is(got, want) || got === want || Math.abs(got - want) <= 2e-6 * scale;
  assert.ok(near, `${about}: got ${got}, want ${want}`);
}

onEngines("finite rows give out and lse as float64 rounds them", async (session, engine) => {
  for (const rows of [1, 9]) {
    for (const { about, q, k, options = {} } of cases(rows)) {
      if (!taken(engine, rows, options)) continue;
      const v = tensor([1, KEYS, 1, 4], wave(3));
      // statistics have kernels of their own
      const stats = engine !== "webgpu" || runTakes("all") ? { stats: STATISTICS } : {};
      const got = await session.forward({ q, k, v, options: { ...options, ...stats } });
      const want = attentionF64(describeProblem(q, k, v, options));
      // [head, row] in the reference, [row, head] in out
      for (let r = 0; r < rows; r++) {
        for (let h = 0; h < 2; h++) {
          const lse = f(want.lse[h * rows + r]!),
            name = `${about}, ${rows} rows, row ${r}, head ${h}`;
          assertNear(got.lse.data[h * rows + r]!, lse, Math.max(1, Math.abs(lse)), `${name}, lse`);
          for (const statistic of stats.stats ?? []) {
            const x = want.statistics[statistic][h * rows + r]!;
            assertNear(got[statistic]!.data[h * rows + r]!, x, KEYS, `${name}, ${statistic}`);
          }
          for (let c = 0; c < 4; c++) {
            const x = want.out[(h * rows + r) * 4 + c]!;
            assertNear(got.out.data[(r * 2 + h) * 4 + c]!, x, 4, `${name}, out ${c}`);
          }
        }
      }
    }
  }
});

onEngines("weights of gradients add up to 1, however large lse is", async (session, engine) => {
  const [rows, D] = [9, 4],
    q = tensor([1, rows, 2, D], wave(1)),
    k = tensor([1, KEYS, 1, D], wave(2));
  const v = tensor([1, KEYS, 1, D], wave(3)), dOut = tensor([1, rows, 2, D], wave(4));
  const flat = (level: number) => ({ bias: tensor([2, rows, KEYS], () => f(level)) });
  const levels = [
    -1e4,
    -1e6,
    -1e8,
    -1e9,
    -1e12,
    -1e20,
    -1e30,
    -1e38,
    LOWEST,
    1e6,
    1e20,
    1e30,
    2e38,
  ];
  const tried: [string, ReferenceOptions][] = [
    ...levels.map((level): [string, ReferenceOptions] => [`bias ${level}`, flat(level)]),
    ["bias -1e8, causal", { ...flat(-1e8), causal: true }],
    ["bias -1e8, softcap", { ...flat(-1e8), softcap: 5 }],
    ["the largest softcap", { softcap: 3.4e38 }],
    ["bias -1e8, sink", { ...flat(-1e8), sink: tensor([2], () => f(-1e8)) }],
    ["bias -1e8, slopes", { ...flat(-1e8), alibiSlopes: tensor([2], () => 0.1) }],
    ...[1e4, 1e6, 1e9, 1e20].map((
      softmaxScale,
    ): [string, ReferenceOptions] => [`scale ${softmaxScale}`, { softmaxScale }]),
  ];
  for (const [about, options] of tried) {
    if (!taken(engine, rows, options)) continue;
    const forward = await session.forward({ q, k, v, options });
    const { dv, dq, dk } = await session.backward(
      { q, k, v, options, dOut, dLse: undefined },
      forward,
    );
    const shares = options.sink ? KEYS / (KEYS + 1) : 1; // a sink as large as a key takes its share
    for (let c = 0; c < D; c++) {
      const column = (x: TestTensor) =>
        Array.from(x.data as Float32Array).reduce((sum, y, n) => n % D === c ? sum + y : sum, 0);
      const want = column(dOut) * shares, got = column(dv);
      assert.ok(
        Math.abs(got - want) <= 1e-3 * 2 * rows,
        `${about}: column ${c} of dv sums to ${got}, want ${want}`,
      );
    }
    assert.ok([...dq.data, ...dk.data].every(Number.isFinite), `${about}: dq or dk is not finite`);
  }
});
