/** `precision: "int8-pv"`: what weights and values as integers add to the errors of `"int8"`, and what they keep exact. */

import assert from "node:assert/strict";
import { attentionSync, createEngine, type HostTensor } from "../mod.ts";
import { plainTensor } from "./inputs.ts";
import { copy, differences, int8, int8pv, k, largest, numbers, q, v } from "./int8.ts";

/** Column `d` of head 0 of v. */
const column = (x: HostTensor, d: number): number[] =>
  Array.from({ length: x.shape[1]! }, (_, j) => numbers(x)[j * 64 + d]!);

/** The largest element of a column less its mean, in each group of 96 keys. */
const restsOf = (column: readonly number[]) =>
  [0, 96, 192].map((begin) => {
    const group = column.slice(begin, begin + 96);
    const mean = group.reduce((sum, x) => sum + x, 0) / group.length;
    return Math.max(...group.map((x) => Math.abs(x - mean)));
  });

Deno.test("out in int8-pv is within half a step of each weight and value of that in int8", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const scores = await engine.attention(q, k, v, int8);
  const outputs = await engine.attention(q, k, v, int8pv);
  const rests = Array.from({ length: 32 }, (_, d) => restsOf(column(v, d)));
  let nearest = Infinity;
  for (let i = 0; i < 60; i++) {
    const row = (x: HostTensor, n: number) => numbers(x).subarray(n * 64, n * 64 + 32);
    const lse = numbers(scores.lse)[i]!;
    const p = Array.from({ length: 250 }, (_, j) => {
      const s = row(q, i).reduce((sum, x, d) => sum + x * row(k, j)[d]!, 0) / Math.sqrt(32);
      return 1.1 * Math.exp(s - lse); // scores in int8 are off by less than a tenth
    });
    const weights = [0, 96, 192].map((begin) => {
      const group = p.slice(begin, begin + 96);
      return group.length * Math.max(...group) + group.reduce((sum, x) => sum + x, 0);
    });
    for (let d = 0; d < 32; d++) {
      const bound = weights.reduce((sum, w, g) => sum + w * rests[d]![g]! / 254, 0) + 1e-5;
      const off = Math.abs(row(outputs.out, i)[d]! - row(scores.out, i)[d]!);
      assert.ok(off <= bound, `row ${i}, column ${d}: ${off}, at most ${bound}`);
      nearest = Math.min(nearest, bound / off);
    }
  }
  assert.ok(nearest < 40, `errors are far below their bound: ${nearest}`);
});

Deno.test("a column of v that is the same for all keys comes out as it is in int8-pv", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const same = copy(v);
  numbers(same).forEach((_, n) => n % 32 < 8 && (numbers(same)[n] = 1000 + n % 32));
  for (const options of [{}, { causal: true }, { window: { left: 20 } }] as const) {
    const { out } = await engine.attention(q, k, same, { ...options, ...int8pv });
    const { out: want } = attentionSync(q, k, same, options);
    numbers(out).forEach((x, n) => {
      if (n % 32 < 8) assert.ok(Math.abs(x - numbers(want)[n]!) < 2e-3, `${x}`);
    });
  }
});

Deno.test("weights keep their bits far below the largest of a row in int8-pv", async () => {
  // a key that takes most of the weight has no neighbour but those of its 96
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const sharp = copy(k);
  for (let d = 0; d < 32; d++) numbers(sharp)[64 * 10 + d] = 6 * numbers(q)[d]!;
  const rows = { data: numbers(q).slice(0, 64 * 16), shape: [1, 16, 2, 32] };
  for (let i = 0; i < 16; i++) rows.data.set(numbers(q).subarray(0, 64), i * 64);
  const shown = { data: Uint8Array.from({ length: 250 }, (_, j) => +(j !== 10)), shape: [1, 250] };
  const all = await engine.attention(rows, sharp, v, { ...int8pv });
  const others = await engine.attention(rows, sharp, v, { ...int8pv, mask: shown });
  const want = [undefined, shown].map((mask) => attentionSync(rows, sharp, v, { mask }));
  for (const [n, got] of [all, others].entries()) {
    const off = Math.max(...differences(got.out, want[n]!.out));
    assert.ok(off < 0.03 * largest(numbers(want[n]!.out)), `${off}`);
  }
});

Deno.test("dropout, sinks and statistics keep their meaning in int8-pv", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const sink = { data: Float32Array.of(3, -2), shape: [2] };
  for (
    const options of [
      { dropout: { probability: 0.5, seed: 7 } },
      { sink },
      { dropout: { probability: 0.9, seed: 8 }, sink, causal: true },
    ]
  ) {
    const asked = { ...options, stats: ["entropy", "maxProbability", "expectedKey"] } as const;
    const got = await engine.attention(q, k, v, { ...asked, ...int8pv });
    const scores = await engine.attention(q, k, v, { ...asked, ...int8 });
    const want = attentionSync(q, k, v, asked);
    assert.deepEqual(got.lse.data, scores.lse.data);
    for (const name of asked.stats) {
      assert.deepEqual(got.stats![name]!.data, scores.stats![name]!.data);
    }
    const off = Math.max(...differences(got.out, want.out));
    assert.ok(off < 0.06 * largest(numbers(want.out)), `${off}`);
  }
});

Deno.test("heads wider than a tile of keys is long have whole groups in int8-pv", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const [a, b, c] = [1, 2, 3].map((seed) => plainTensor(seed, [1, 200, 1, 300])) as HostTensor[];
  assert.equal(engine.explain(a!, b!, c!, int8pv).tile.keys % 96, 0);
  assert.notEqual(engine.explain(a!, b!, c!, int8).tile.keys % 96, 0);
  const got = await engine.attention(a!, b!, c!, int8pv), want = attentionSync(a!, b!, c!);
  const most = numbers(want.out).reduce((x, y) => Math.max(x, Math.abs(y)), 0);
  const off = numbers(got.out).reduce(
    (x, y, n) => Math.max(x, Math.abs(y - numbers(want.out)[n]!)),
    0,
  );
  assert.ok(off < 0.03 * most && off > 0, `${off}`);
});
