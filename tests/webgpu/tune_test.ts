/** The autotuner: what it takes, what it refuses, what it remembers. */

import assert from "node:assert/strict";
import { createEngine, type EngineOptions, type TuneStore } from "../../mod.ts";
import { candidatesOf, tileClass } from "../../src/plan/webgpu/tiles.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import { TuneMemory } from "../../src/webgpu/tune/memory.ts";
import { plainTensor } from "../inputs.ts";
import { gpuTest } from "./support.ts";
import { gpuTarget } from "./targets.ts";

/** A store that can be looked into. */
class MapStore implements TuneStore {
  readonly kept = new Map<string, string>();
  getItem(key: string): string | null {
    return this.kept.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.kept.set(key, value);
  }
}

const software = { backend: "webgpu", allowFallbackAdapter: true, threads: 1 } as const;
const tuned = (tuneStore: TuneStore, more: EngineOptions = {}) =>
  createEngine({ ...software, tune: "lazy", tuneStore, ...more });

/** Just large enough to be tuned, with heads that compile fast. */
const HEAD_DIM = 20;
const large = plainTensor(1, [1, 1030, 12, HEAD_DIM]);
const small = plainTensor(2, [1, 100, 2, HEAD_DIM]);

gpuTest("tuning leaves results right, is done once for a class, and is remembered", async () => {
  const store = new MapStore(), engine = await tuned(store);
  const target = engine.target as WebGpuTarget;
  await engine.attention(small, small, small);
  assert.equal(store.kept.size, 0, "a small call is not worth it");
  const before = engine.explain(large, large, large);
  assert.equal(before.tuned, undefined);
  const [a, b] = await Promise.all([
    engine.attention(large, large, large),
    engine.attention(large, large, large),
  ]);
  assert.deepEqual(a, b, "calls that come together have the same tile");
  const [key, text] = [...store.kept][0]!;
  assert.equal(store.kept.size, 1);
  assert.ok(key.includes(target.adapter) && key.endsWith(tileClass("forward", engineSizes)), key);
  const kept = JSON.parse(text) as { done: boolean; tile?: unknown };
  assert.equal(kept.done, true);
  assert.equal(engine.explain(large, large, large).tuned, kept.tile ? true : undefined);
  const cpu = engine.attentionSync(large, large, large);
  const [got, wanted] = [a.out.data, cpu.out.data] as [Float32Array, Float32Array];
  assert.ok(got.every((x, i) => Math.abs(x - wanted[i]!) < 1e-5));
  engine.dispose();

  // another engine finds it: nothing is written, and the bits are the same
  const again = await tuned(store);
  store.setItem = () => assert.fail("it was tuned again");
  assert.deepEqual(await again.attention(large, large, large), a);
  again.dispose();
}, { part: "rest" });

const engineSizes = { headDim: HEAD_DIM, valueDim: HEAD_DIM };
const needs = { ...engineSizes, flops: 2e9 };

gpuTest("a tile from the store is used by large calls alone", async () => {
  using plain = await createEngine(software);
  const target = plain.target as WebGpuTarget, store = new MapStore();
  const usual = plain.explain(large, large, large).tile;
  const other = candidatesOf("forward", needs, target).at(-1)!;
  new TuneMemory(target, store).keep(tileClass("forward", needs), other);
  using engine = await tuned(store);
  const { out } = await engine.attention(large, large, large);
  const facts = engine.explain(large, large, large);
  assert.equal(facts.tuned, true);
  assert.notDeepEqual(facts.tile, usual);
  assert.deepEqual(facts.tile, { rows: other.ny * other.tm, keys: other.nx * other.tn });
  assert.equal(engine.explain(small, small, small).tuned, undefined);
  const wanted = (await plain.attention(large, large, large)).out.data as Float32Array;
  assert.ok((out.data as Float32Array).every((x, i) => Math.abs(x - wanted[i]!) < 1e-5));
  // the same bits for a small call as without tuning
  assert.deepEqual(
    await engine.attention(small, small, small),
    await plain.attention(small, small, small),
  );
}, { part: "rest" });

Deno.test("what a store holds is not trusted", () => {
  const store = new MapStore(), memory = new TuneMemory(gpuTarget(), store);
  const name = tileClass("forward", needs), tiles = candidatesOf("forward", needs, gpuTarget());
  assert.equal(memory.find(name, tiles), undefined);
  memory.keep(name, tiles[1]);
  assert.deepEqual(memory.find(name, tiles), { tile: tiles[1] });
  const key = [...store.kept.keys()][0]!;
  const odd = { ...tiles[1]!, tm: 64 };
  for (const tile of [odd, null, 5, "x", {}, []]) {
    store.kept.set(key, JSON.stringify({ done: true, tile }));
    assert.deepEqual(memory.find(name, tiles), { tile: undefined }, JSON.stringify(tile));
  }
  for (const text of ["", "x", "null", "[]", "7", '{"done":1}']) {
    store.kept.set(key, text);
    assert.equal(memory.find(name, tiles), undefined, text);
  }
  assert.equal(
    new TuneMemory(gpuTarget({}, { adapter: "other" }), store).find(name, tiles),
    undefined,
  );
});

Deno.test("trying that never ends is given up at the third start", () => {
  const store = new MapStore(), name = tileClass("dq", needs);
  const tiles = candidatesOf("dq", needs, gpuTarget());
  const start = () => {
    const memory = new TuneMemory(gpuTarget(), store), known = memory.find(name, tiles);
    if (!known) memory.begin(name);
    return known;
  };
  assert.deepEqual([start(), start(), start()], [undefined, undefined, { tile: undefined }]);
});

Deno.test("a store that throws costs nothing but what it would have kept", () => {
  const store = {
    getItem: () => {
      throw new Error("forbidden");
    },
    setItem: () => {
      throw new Error("full");
    },
  };
  const memory = new TuneMemory(gpuTarget(), store);
  memory.begin("forward 32 32");
  memory.keep("forward 32 32", undefined);
  assert.equal(memory.find("forward 32 32", []), undefined);
});

Deno.test("bad values of tune and tuneStore are refused", async () => {
  const bad = (options: object, wanted: RegExp) =>
    assert.rejects(() => createEngine(options as EngineOptions), wanted);
  await bad(
    { tune: "yes" },
    /^TypeError: Cannot run createEngine: tune is "yes" but must be "off"/,
  );
  await bad({ tune: true }, /tune is true but must be/);
  for (const tuneStore of [null, 5, {}, { getItem: () => null }]) {
    await bad({ tuneStore }, /tuneStore is .* but must have the methods getItem and setItem/);
  }
});
