/** Gradients with `precision: "f16"`: the errors that the docs state, at every size of gradients, and none that is silent. */

import assert from "node:assert/strict";
import {
  attentionBackwardSync,
  type AttentionGradients,
  attentionSync,
  type BackwardCallOptions,
  type Engine,
  type HostTensor,
} from "../../mod.ts";
import { plainTensor } from "../inputs.ts";
import { absent, forcedEngine, gpuEngine, gpuTest } from "./support.ts";

const halves = { precision: "f16" } as const;

const engine = absent ? undefined : await gpuEngine();
addEventListener("unload", () => engine?.dispose());

const lacks = absent ??
  (engine!.precisions.includes("f16") ? undefined : "the device has no shader-f16");

const HEADS = 2, DIM = 32;
const NAMES = ["dq", "dk", "dv"] as const;
type Name = typeof NAMES[number];

const tensor = (seed: number, length: number, dim = DIM): HostTensor =>
  plainTensor(seed, [1, length, HEADS, dim]);

const numbers = ({ data }: HostTensor) => data as Float32Array;

/** Changes numbers of a tensor; `at`: a row of length, whatever the head. */
function changed(x: HostTensor, f: (value: number, row: number, column: number) => number) {
  const dim = x.shape.at(-1)!;
  const data = numbers(x).map((value, n) => f(value, Math.floor(n / (HEADS * dim)), n % dim));
  return { ...x, data };
}

interface Inputs {
  readonly q: HostTensor;
  readonly k: HostTensor;
  readonly v: HostTensor;
  readonly dOut: HostTensor;
}

const inputs: Inputs = {
  q: tensor(1, 150),
  k: tensor(2, 170),
  v: tensor(3, 170),
  dOut: tensor(4, 150),
};

/** Gradients of both precisions, each of what its own forward pass saved. */
async function both(
  { q, k, v, dOut }: Inputs,
  options: BackwardCallOptions = {},
  gpu: Engine = engine!,
): Promise<{ want: AttentionGradients; got: AttentionGradients }> {
  const { causal } = options;
  const saved = attentionSync(q, k, v, { causal });
  const want = attentionBackwardSync(dOut, { q, k, v, ...saved }, { ...options });
  const given = await gpu.attention(q, k, v, { causal, ...halves });
  const got = await gpu.attentionBackward(dOut, { q, k, v, ...given }, { ...options, ...halves });
  return { want, got };
}

/** The largest difference, of the largest that was wanted, among elements of rows that `takes` names. */
function off(
  { want, got }: Awaited<ReturnType<typeof both>>,
  name: Name,
  takes: (row: number) => boolean = () => true,
): number {
  const a = numbers(got[name]), b = numbers(want[name]), width = a.length / want[name].shape[1]!;
  let most = 0, worst = 0;
  a.forEach((x, n) => {
    if (!takes(Math.floor(n / width))) return;
    most = Math.max(most, Math.abs(b[n]!));
    const error = Math.abs(x - b[n]!);
    if (!(error <= worst)) worst = error; // NaN stays
  });
  return worst / most;
}

/** What docs/webgpu.md says of the errors of gradients, in units of 1e-4 of the largest. */
const DOCUMENTED: readonly { data: string; q: number; outliers: number; most: number }[] = [
  { data: "normal", q: 1, outliers: 1, most: 40 },
  { data: "spread scores", q: 5, outliers: 1, most: 150 },
  { data: "outlier channels", q: 1, outliers: 8, most: 400 },
];

gpuTest("errors of gradients are those of the table in the docs", async () => {
  for (const row of DOCUMENTED) {
    const [q, k, v, dOut] = [5, 6, 7, 8].map((seed) => tensor(seed, 256, 64));
    const widened = (x: HostTensor, factor: number) =>
      changed(
        x,
        (value, _, column) => value * factor * ([9, 50].includes(column) ? row.outliers : 1),
      );
    const given = { q: widened(q!, row.q), k: widened(k!, 1), v: v!, dOut: dOut! };
    const found = await both(given), errors = NAMES.map((name) => off(found, name));
    const about = `${row.data}: ${errors}`;
    assert.ok(errors.every((error) => error <= row.most * 1e-4), about);
    assert.ok(errors.every((error) => error > row.most * 1e-5), about);
  }
}, { lacks, part: "rest" });

gpuTest("the size of dOut changes nothing but the size of gradients", async () => {
  const plain = await both(inputs, { causal: true });
  for (const power of [-20, 14, -120, 100]) { // 1e-6, 1.6e4, and nearly all that f32 has
    const dOut = changed(inputs.dOut, (x) => x * 2 ** power);
    const { got } = await both({ ...inputs, dOut }, { causal: true });
    for (const name of NAMES) {
      const moved = numbers(plain.got[name]).map((x) => x * 2 ** power);
      const most = moved.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      // beyond 2^-149 there is nothing: delta of 2^-120 has fewer bits
      const least = 2 ** -149 / most * 2 ** 10, same = power > -100;
      numbers(got[name]).forEach((x, n) => {
        const error = Math.abs(x - moved[n]!) / most;
        assert.ok(same ? error === 0 : error <= least + 2e-3, `${name} ${power}: ${error}`);
      });
    }
  }
}, { lacks, part: "rest" });

gpuTest("one row of dOut far larger than others spoils none of them", async () => {
  const dOut = changed(inputs.dOut, (x, row) => x * (row === 40 ? 1e6 : row === 41 ? 1e-6 : 1));
  const found = await both({ ...inputs, dOut }, { causal: { offset: 0 } });
  const plain = await both(inputs, { causal: { offset: 0 } });
  // keys behind the large row are seen by other rows alone
  const rows: Record<Name, readonly ((row: number) => boolean)[]> = {
    dq: [(row) => row === 40, (row) => row === 41, (row) => row !== 40],
    dk: [(row) => row <= 40, (row) => row > 41],
    dv: [(row) => row <= 40, (row) => row > 41],
  };
  for (const name of NAMES) {
    for (const [n, takes] of rows[name].entries()) {
      const error = off(found, name, (row) => takes(row) && row < 150);
      const usual = off(plain, name, (row) => takes(row) && row < 150);
      assert.ok(error < 2.5 * usual + 1e-3, `${name}, part ${n}: ${error} instead of ${usual}`);
    }
  }
}, { lacks, part: "rest" });

gpuTest("keys that only a row far smaller than others sees have its gradients", async () => {
  const { dOut } = inputs, keep = { causal: { offset: 0 } };
  // the last query alone sees the last key
  const small = changed(dOut, (x, row) => row === 149 ? x * 1e-9 : x);
  const found = await both({ ...inputs, dOut: small }, keep);
  for (const name of ["dk", "dv"] as const) {
    const error = off(found, name, (row) => row === 149);
    assert.ok(error < 5e-3, `${name}: ${error}`);
  }
}, { lacks, part: "rest" });

gpuTest("what f16 does not have is computed in f32, or is as in f32", async () => {
  const at = (name: keyof Inputs, row: number, column: number, value: number): Inputs => ({
    ...inputs,
    [name]: changed(inputs[name], (x, r, c) => r === row && c === column ? value : x),
  });
  const close = async (given: Inputs, about: string, ofDq = 8e-3) => {
    const found = await both(given);
    for (const name of NAMES) {
      const error = off(found, name);
      assert.ok(error < (name === "dq" ? ofDq : 8e-3), `${about}: ${name} is off by ${error}`);
    }
  };
  // such a query has one key, so that dS is what rounding leaves of it: times 1e6 that would be all there is of dk
  const without = changed(inputs.dOut, (x, row) => row === 5 ? 0 : x);
  await close({ ...at("q", 5, 3, 1e6), dOut: without }, "q");
  await close(at("k", 5, 3, -7e4), "k", 0.1); // likewise: two calls in f32 differ by 0.07
  await close(at("v", 5, 3, 7e4), "v");
  await close(at("dOut", 5, 3, 3e38), "dOut");
  // each is a number of f16, their sums are none
  await close({ ...inputs, v: changed(inputs.v, (x) => x * 2e4) }, "sums of v");
}, { lacks, part: "rest" });

gpuTest("gradients in f16 are found right by f16, and are the same bits again", async () => {
  const { q, k, v, dOut } = inputs,
    saved = { q, k, v, ...await engine!.attention(q, k, v, halves) };
  const first = await engine!.attentionBackward(dOut, saved, {
    ...halves,
    verify: { rows: Infinity },
  });
  const { error } = first.verified!;
  assert.ok(error > 0.1 && error < 8, `${error}`);
  const again = await engine!.attentionBackward(dOut, saved, halves);
  for (const name of NAMES) assert.deepEqual(again[name], first[name]);
}, { lacks, part: "rest" });

gpuTest("a device without shader-f16 refuses gradients", async () => {
  const { engine } = await forcedEngine({ target: { shaderF16: false } });
  const { q, k, v, dOut } = inputs, saved = { q, k, v, ...attentionSync(q, k, v) };
  await assert.rejects(
    engine.attentionBackward(dOut, saved, halves),
    /^UnsupportedError: precision "f16" of attentionBackward .* lacks the feature shader-f16; leave/,
  );
  engine.dispose();
});
