/** Values of `precision: "int8"` and `"int8-pv"`: the largest errors that their definition allows, numbers of any size, and none. */

import assert from "node:assert/strict";
import { attentionSync, type CallOptions, createEngine, type HostTensor } from "../mod.ts";
import { plainTensor } from "./inputs.ts";
import { both, copy, differences, int8, k, largest, numbers, q, v } from "./int8.ts";

/** The most that a product of a query and a key is off by, from the definition of the integers: docs/int8.md. */
function mostOff(query: Float32Array, keys: readonly Float32Array[], n: number): number {
  const size = (x: Float32Array) => x.reduce((sum, y) => sum + Math.abs(y), 0);
  const group = keys.slice(n - n % 96, n - n % 96 + 96), key = keys[n]!;
  const less = key.map((x, d) => x - group.reduce((sum, y) => sum + y[d]!, 0) / group.length);
  const unit = largest(query) / 127;
  return Math.max(...[key, less].map((k) => {
    const step = largest(k) / 63;
    return unit / 2 * size(k) + step / 2 * size(query) + query.length * unit * step / 4;
  }));
}

Deno.test("out and lse in int8 are within what the integers may be off by", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const exact = await engine.attention(q, k, v), got = await engine.attention(q, k, v, int8);
  const row = (x: HostTensor, n: number, h: number) =>
    numbers(x).subarray((n * 2 + h) * 32, (n * 2 + h) * 32 + 32);
  for (const h of [0, 1]) {
    const keys = Array.from({ length: 250 }, (_, n) => row(k, n, h));
    for (let i = 0; i < 60; i++) {
      const bounds = keys.map((_, n) => mostOff(row(q, i, h), keys, n) / Math.sqrt(32));
      const bound = Math.max(...bounds), out = row(exact.out, i, h);
      const lse = Math.abs(numbers(got.lse)[h * 60 + i]! - numbers(exact.lse)[h * 60 + i]!);
      assert.ok(lse <= bound + 1e-5 && bound < 0.5, `lse is off by ${lse}, at most ${bound}`);
      out.forEach((x, d) => {
        const off = Math.abs(row(got.out, i, h)[d]! - x);
        const spread = Math.max(...keys.map((_, n) => Math.abs(row(v, n, h)[d]! - x)));
        assert.ok(off <= (Math.exp(2 * bound) - 1) * spread + 1e-5, `out is off by ${off}`);
      });
    }
  }
});

Deno.test("rows of queries that see what is not finite are those of float32", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const check = async (
    name: "q" | "k" | "v",
    at: number,
    value: number,
    sees: (row: number) => boolean,
    options: CallOptions,
  ) => {
    const t = { q: copy(q), k: copy(k), v: copy(v) };
    numbers(t[name])[at] = value;
    const want = attentionSync(t.q, t.k, t.v, { ...options, precision: "f32" });
    const got = await engine.attention(t.q, t.k, t.v, options);
    const most = numbers(want.out).reduce(
      (a, b) => Math.max(a, Number.isFinite(b) ? Math.abs(b) : 0),
      0,
    );
    const off = differences(got.out, want.out), about = `${name} ${value}`;
    off.forEach((x, row) => {
      const values = (x: HostTensor) => numbers(x).subarray(row * 64, row * 64 + 32);
      const others = (x: HostTensor) => [...values(x)].map((y) => Number.isFinite(y) ? 0 : y);
      assert.deepEqual(others(got.out), others(want.out), `${about}: row ${row}`);
      assert.ok(
        Number.isNaN(x) || x <= (sees(row) ? 1e-5 : 0.05) * most,
        `${about}: row ${row} is off by ${x}`,
      );
    });
    return off;
  };
  for (const precision of both) {
    for (const value of [NaN, Infinity, -Infinity]) {
      await check("q", 5, value, (row) => row === 0, precision);
      for (const name of ["k", "v"] as const) {
        const exact = name === "k" || precision !== int8; // in v it may spoil its column alone
        await check(name, 64 * 100 + 5, value, () => exact, precision);
      }
    }
    for (const value of [3e38, -3e38]) { // a number: alone in its row, of which it is the unit
      await check("q", 5, value, () => false, precision);
      await check("k", 64 * 100 + 5, value, () => false, precision);
    }
    // hidden, it does nothing: neither to rows that do not see it, nor to the mean of its neighbours
    const causal = { causal: "top-left", ...precision } as const;
    for (const name of ["k", "v"] as const) {
      for (const value of [NaN, Infinity]) {
        const off = await check(
          name,
          64 * 40 + 5,
          value,
          (row) => row >= 40 && name === "k",
          causal,
        );
        const plain = await engine.attention(q, k, v, { ...causal, precision: "f32" });
        const same = differences((await engine.attention(q, k, v, causal)).out, plain.out);
        assert.ok(Math.max(...off.slice(1, 40)) < 4 * Math.max(...same.slice(1, 40)));
      }
    }
  }
});

Deno.test("zeros, and numbers of any size, keep their meaning in integers", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const zeros = { data: new Float32Array(q.data.length), shape: q.shape };
  const none = { data: new Float32Array(k.data.length), shape: k.shape };
  for (const precision of both) {
    const limit = precision === int8 ? 1e-6 : 0.02; // weights are the same, values are rounded
    for (const [a, b] of [[zeros, k], [q, none], [zeros, none]] as const) {
      const got = await engine.attention(a, b, v, precision), want = attentionSync(a, b, v);
      assert.ok(Math.max(...differences(got.out, want.out)) < limit);
    }
    const nothing = await engine.attention(q, k, none, precision);
    assert.ok(numbers(nothing.out).every((x) => x === 0));
  }
  const scaled = (x: HostTensor, factor: number): HostTensor => {
    return { data: numbers(x).map((y) => y * factor), shape: x.shape };
  };
  for (const precision of both) {
    const base = await engine.attention(q, k, v, precision);
    for (const power of [-110, -60, 60, 110]) {
      // powers of two change no integer: the same result, but for what is denormal
      const t = [scaled(q, 2 ** power), scaled(k, 2 ** -power), scaled(v, 2 ** power)] as const;
      const { out } = await engine.attention(...t, precision);
      const most = Math.max(...differences(scaled(out, 2 ** -power), base.out));
      assert.ok(most < 1e-5, `2^${power}: ${most}`);
    }
  }
});

Deno.test("a mean that all keys of a head share does no harm in int8", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const shifted = copy(k);
  numbers(shifted).forEach((_, n) => n % 32 === 7 && (numbers(shifted)[n]! += 20));
  const off = async (keys: HostTensor) => {
    const want = attentionSync(q, keys, v), got = await engine.attention(q, keys, v, int8);
    return Math.max(...differences(got.out, want.out)) / largest(numbers(want.out));
  };
  const [without, with_] = [await off(k), await off(shifted)];
  assert.ok(with_ < 3 * without, `${without} without, ${with_} with a channel that is off by 20`);
  // one key that is far larger than its neighbours does not spoil them
  const outlier = copy(k);
  for (let d = 0; d < 32; d++) numbers(outlier)[64 * 50 + d]! *= -100;
  const hidden = {
    mask: {
      data: Uint8Array.from({ length: 60 * 250 }, (_, n) => +(n % 250 !== 50)),
      shape: [60, 250],
    },
  };
  const want = attentionSync(q, outlier, v, hidden);
  const got = await engine.attention(q, outlier, v, { ...hidden, ...int8 });
  assert.ok(Math.max(...differences(got.out, want.out)) < 0.1 * largest(numbers(want.out)));
});

/** The table of docs/int8.md, on fewer keys: the largest error of out, by its largest element, in both precisions. */
const DOCUMENTED: readonly (readonly [
  data: string,
  most: number,
  change: (k: number, column: number) => number,
])[] = [
  ["normal", 0.025, (x) => x],
  ["two channels off by 15 and -20", 0.025, (x, d) => x + (d === 3 ? 15 : d === 17 ? -20 : 0)],
  ["two channels of deviation 10", 0.25, (x, d) => d === 3 || d === 17 ? 10 * x : x],
];

Deno.test("errors are those of the table in the docs", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  for (const [data, most, change] of DOCUMENTED) {
    const [q, keys, v] = [5, 6, 7].map((seed) => plainTensor(seed, [1, 256, 1, 64]));
    const k = { ...keys!, data: numbers(keys!).map((x, n) => change(x, n % 64)) };
    const want = attentionSync(q!, k, v!);
    for (const asked of both) {
      const got = await engine.attention(q!, k, v!, asked);
      const off = Math.max(...differences(got.out, want.out)) / largest(numbers(want.out));
      assert.ok(off < most && off > most / 20, `${data}, ${asked.precision}: ${off}`);
    }
  }
});
