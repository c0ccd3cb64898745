/** GPU plans against a boolean mask of all pairs: each visible pair once in every kernel, boxes that tile and fit. */

import assert from "node:assert/strict";
import fc from "fast-check";
import type { GpuItem } from "../../src/plan/webgpu/work_items.ts";
import { type GpuPlan, type PlannedRegion, planWebGpu } from "../../src/plan/webgpu/plan.ts";
import { targetWorkgroups } from "../../src/plan/webgpu/tiles.ts";
import type { AttentionProblem } from "../../src/problem/problem.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import { geometry } from "../../shaders/abi.ts";
import { parseProblem } from "../../tools/show/show.ts";
import { isVisible } from "../visible.ts";
import { gpuTarget } from "./targets.ts";

const targets: readonly WebGpuTarget[] = [
  gpuTarget(),
  gpuTarget({ storageBinding: 4096 }),
  gpuTarget({ storageBinding: 20000 }),
  gpuTarget({ storageBinding: 20000, workgroups: 3 }, { software: false }),
  gpuTarget({ workgroupBytes: 49152 }, { software: false }),
];

/** Problems in the words of `deno task show`: each path of the plan, by name. */
const problems: readonly string[] = [
  "forward q=1x17x1x8 k=1x17x1x8",
  "forward q=2x70x4x20 k=2x131x2x20",
  "forward q=2x4x70x20 k=2x2x131x20 bhsd causal=top-left",
  "forward q=2x131x4x32 k=2x70x2x32 causal",
  "forward q=2x70x3x8 k=2x131x1x8 causal=-3,40",
  "forward q=1x97x2x16 k=1x97x2x16 causal=-5000",
  "forward q=3x70x2x8 k=3x90x1x8 keyLengths=0,1,90 causal window=9,20",
  "forward q=1x2x300x8 k=1x2x300x8 window=16,3 bhsd",
  "forward q=1x100x1x8 k=1x2100x1x8 causal",
  "forward q=1x100x1x8 k=1x2100x1x8 window=700,",
  "forward q=1x30x5x8 k=1x1500x1x8 keyLengths=1100",
  "forward q=2x20x4x8 k=2x30x4x8 bias=2x4x20x30 mask=20x30",
  "forward q=1x1x8x64 k=1x300x8x64",
  "forward q=1x1x8x40 k=1x2500x1x40",
  "forward q=1x2x8x40 k=1x2500x1x40 causal window=2000,",
  "forward q=3x1x4x32 k=3x2600x1x32 keyLengths=0,2600,700",
  "forward q=1x0x2x8 k=1x20x2x8",
  "forward q=1x20x2x8 k=1x0x2x8",
  "forward q=0x20x2x8 k=0x20x2x8",
  "backward q=1x17x1x8 k=1x17x1x8",
  "backward q=2x70x4x20 k=2x131x2x20 causal",
  "backward q=1x2x200x32 k=1x1x300x32 bhsd window=40,10",
  "backward q=3x60x1x8 k=3x200x1x8 keyLengths=0,200,97 causal",
  "backward q=1x90x3x8 k=1x80x1x8 causal=-10000",
  "backward q=2x50x4x16 k=2x50x4x16 bias=2x4x50x50",
  "backward q=1x0x2x8 k=1x20x2x8",
];

/** Query heads of a kv head that a region has, and its (query, head) rows. */
const groupOf = (region: PlannedRegion): number => region.groupEnd - region.groupBegin;
const rowsOf = (region: PlannedRegion): number =>
  (region.rowEnd - region.rowBegin) * groupOf(region);

/** Visits the pairs of an item as its kernel would: (row of the kv head, key), in the region's coordinates. */
type Visit = (item: GpuItem, row: number, key: number) => void;

function rowTile(region: PlannedRegion, item: GpuItem, rows: number, visit: Visit) {
  const end = Math.min(item.first + rows, rowsOf(region));
  for (let row = item.first; row < end; row++) {
    for (let key = item.begin; key < item.end; key++) visit(item, row, key);
  }
}

function keyTile(region: PlannedRegion, item: GpuItem, keys: number, visit: Visit) {
  const end = Math.min(item.first + keys, region.keyEnd - region.keyBegin);
  for (let key = item.first; key < end; key++) {
    for (let row = item.begin; row < item.end; row++) visit(item, row, key);
  }
}

/** Each visible pair is met by one item of the kernel, hidden ones by none. */
function checkCoverage(
  problem: AttentionProblem,
  plan: GpuPlan,
  about: string,
  walk: (region: PlannedRegion, visit: Visit) => void,
): void {
  const { batch, kvHeads, lengthQ, lengthK } = problem, group = problem.queryHeads / kvHeads;
  const met = new Uint8Array(batch * problem.queryHeads * lengthQ * lengthK);
  const index = (b: number, head: number, i: number, key: number) =>
    ((b * problem.queryHeads + head) * lengthQ + i) * lengthK + key;
  for (const region of plan.regions) {
    const { batchBegin, kvHeadBegin, kvHeadEnd, rowBegin, keyBegin } = region;
    walk(region, ({ batch, low, high, limit }, row, key) => {
      const query = Math.floor(row / groupOf(region)), distance = key - query;
      if (distance < low || distance > high || key >= limit) return;
      const head = region.groupBegin + row % groupOf(region);
      for (let h = kvHeadBegin; h < kvHeadEnd; h++) {
        met[index(batchBegin + batch, h * group + head, query + rowBegin, key + keyBegin)]!++;
      }
    });
  }
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < lengthQ; i++) {
      for (let j = 0; j < lengthK; j++) {
        const want = isVisible(problem, b, i, j) ? 1 : 0;
        for (let h = 0; h < kvHeads * group; h++) {
          const got = met[index(b, h, i, j)];
          if (got !== want) {
            const place = `sequence ${b}, query ${i}, head ${h}, key ${j}`;
            assert.fail(`${about}: ${place} is met ${got} times instead of ${want}`);
          }
        }
      }
    }
  }
}

/** Somebody writes every row of every slot, also where nothing is visible, and nobody writes it twice. */
function checkWritten(
  region: PlannedRegion,
  items: readonly GpuItem[],
  length: number,
  size: number,
  slots: number,
): void {
  const wanted: string[] = [];
  for (let batch = 0; batch < region.batchEnd - region.batchBegin; batch++) {
    for (let first = 0; first < length; first += size) {
      for (let slot = 0; slot < slots; slot++) wanted.push(`${batch} ${first} ${slot}`);
    }
  }
  const got = items.map(({ batch, first, slot }) => `${batch} ${first} ${slot}`);
  assert.deepEqual(got.sort(), wanted.sort(), "tiles and slots");
}

/** What an item is said to cost is what one query head of it can see. */
function checkCost(item: GpuItem, queries: [number, number], keys: [number, number]): void {
  let seen = 0;
  for (let i = queries[0]; i < queries[1]; i++) {
    for (let j = keys[0]; j < Math.min(keys[1], item.limit); j++) {
      if (j - i >= item.low && j - i <= item.high) seen++;
    }
  }
  assert.equal(item.pairs, seen, "the pairs of an item");
}

function checkItems(problem: AttentionProblem, plan: GpuPlan): void {
  const chosen = plan.forward ?? plan.dq, tile = chosen && geometry(chosen.tile).rows;
  const keys = plan.dkv ? geometry(plan.dkv.tile).rows : 0;
  for (const region of plan.regions) {
    const { rowItems, keyItems, splits } = region, rows = rowsOf(region), group = groupOf(region);
    const size = tile ?? rows, lengthK = region.keyEnd - region.keyBegin;
    checkWritten(region, rowItems, rows, size, splits);
    checkWritten(region, keyItems, plan.dkv ? lengthK : 0, keys, 1);
    for (const item of rowItems) {
      const { first, begin, end } = item, last = Math.min(rows, first + size) - 1;
      assert.ok(0 <= begin && begin <= end && end <= lengthK, "keys of the region");
      checkCost(item, [Math.floor(first / group), Math.floor(last / group) + 1], [begin, end]);
    }
    for (const item of keyItems) {
      assert.ok(0 <= item.begin && item.begin <= item.end && item.end <= rows, "its rows");
      checkCost(item, [0, rows / group], [item.first, Math.min(lengthK, item.first + keys)]);
    }
    for (const items of [rowItems, keyItems]) {
      items.forEach((item, n) => {
        if (n > 0) assert.ok(items[n - 1]!.pairs >= item.pairs, "items come longest first");
      });
    }
  }
  checkCoverage(problem, plan, `${plan.kernel}, rows`, (region, visit) => {
    for (const item of region.rowItems) rowTile(region, item, tile ?? rowsOf(region), visit);
  });
  if (plan.kernel !== "backward") return;
  checkCoverage(problem, plan, "dK and dV", (region, visit) => {
    for (const item of region.keyItems) keyTile(region, item, keys, visit);
  });
}

/** Flags say which regions meet results of earlier ones, and parts are worth their merge. */
function checkRegions(problem: AttentionProblem, plan: GpuPlan, target: WebGpuTarget): void {
  const done = new Set<string>();
  for (const region of plan.regions) {
    const { batchBegin, kvHeadBegin, keyBegin, splits, moreKeys, moreRows } = region;
    const rows = `rows ${batchBegin} ${kvHeadBegin} ${region.groupBegin} ${region.rowBegin}`;
    const keys = `keys ${batchBegin} ${kvHeadBegin} ${keyBegin}`;
    assert.deepEqual([moreKeys, moreRows], [done.has(rows), done.has(keys)], `${rows}, ${keys}`);
    done.add(rows).add(keys);
    const least = plan.kernel === "decode" ? 128 : 512;
    assert.ok(splits === 1 || splits * least <= region.keyEnd - keyBegin, `${splits} splits`);
    assert.ok(splits === 1 || plan.kernel !== "backward");
    const wanted = targetWorkgroups(target, plan.kernel === "decode" ? "decode" : "forward");
    assert.ok(
      splits === 1 || region.rowItems.length < 2 * wanted,
      "splits only to fill the device",
    );
  }
  if (problem.batch * problem.lengthQ * problem.lengthK === 0) assert.deepEqual(plan.regions, []);
}

function checkPlan(problem: AttentionProblem, target: WebGpuTarget): GpuPlan {
  const plan = planWebGpu(problem, target);
  checkRegions(problem, plan, target);
  checkItems(problem, plan);
  return plan;
}

for (const words of problems) {
  Deno.test(`a GPU plan meets every visible pair once: ${words}`, () => {
    const { problem } = parseProblem(words.split(" "));
    for (const target of targets) checkPlan(problem, target);
  });
}

Deno.test("the problems above reach every kernel, splits, and regions of every axis", () => {
  const seen = new Set<string>();
  for (const words of problems) {
    for (const target of targets) {
      const { kernel, regions } = planWebGpu(parseProblem(words.split(" ")).problem, target);
      for (const w of regions) {
        if (w.splits > 1) seen.add(`${kernel} in splits`);
        if (w.batchBegin > 0) seen.add(`${kernel} by batch`);
        if (w.kvHeadBegin > 0) seen.add(`${kernel} by head`);
        if (w.groupBegin > 0) seen.add(`${kernel} by heads of a group`);
        if (w.rowBegin > 0) seen.add(`${kernel} by rows`);
        if (w.keyBegin > 0) seen.add(`${kernel} by keys`);
        if (w.keyBegin > 0 && w.splits > 1) seen.add(`${kernel} by keys in splits`);
      }
    }
  }
  const axes = (kernel: string) => ["batch", "head", "keys"].map((axis) => `${kernel} by ${axis}`);
  const wanted = ["forward", "decode", "backward"].flatMap(axes);
  wanted.push("forward by heads of a group", "backward by heads of a group");
  wanted.push("forward by rows", "backward by rows", "forward in splits", "decode in splits");
  for (const path of wanted) assert.ok(seen.has(path), `no problem is computed ${path}`);
});

Deno.test("GPU plans of random problems meet every visible pair once", () => {
  const length = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 120 }));
  const side = fc.option(fc.integer({ min: 0, max: 120 }), { nil: "" });
  const random = fc.record({
    pass: fc.constantFrom("forward", "backward"),
    batch: fc.integer({ min: 1, max: 3 }),
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 4 }),
    lengthQ: length,
    lengthK: fc.oneof(length, length, fc.integer({ min: 500, max: 1300 })),
    dim: fc.constantFrom(4, 20, 33),
    layout: fc.constantFrom("", "bhsd"),
    causal: fc.constantFrom("", "causal", "causal=top-left", "causal=7", "causal=-30"),
    window: fc.option(fc.tuple(side, side), { nil: undefined }),
    percent: fc.option(fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 3, maxLength: 3 }), {
      nil: undefined,
    }),
    target: fc.constantFrom(...targets),
  });
  fc.assert(
    fc.property(random, (r) => {
      const { batch, kvHeads, lengthQ, lengthK, dim } = r, heads = kvHeads * r.group;
      const shape = (length: number, heads: number) =>
        (r.layout ? [batch, heads, length, dim] : [batch, length, heads, dim]).join("x");
      const real = r.percent?.slice(0, batch).map((n) => Math.floor(lengthK * n / 100));
      const words = [
        ...[r.pass, `q=${shape(lengthQ, heads)}`, `k=${shape(lengthK, kvHeads)}`, r.layout],
        ...[r.causal, r.window && `window=${r.window}`, real && `keyLengths=${real}`],
      ].filter((word): word is string => Boolean(word));
      checkPlan(parseProblem(words).problem, r.target);
    }),
    { seed: 20261121, numRuns: 80 },
  );
});

Deno.test("GPU planning is pure, and a plan is plain data", () => {
  for (const words of problems) {
    const { problem } = parseProblem(words.split(" ")), before = structuredClone(problem);
    for (const target of targets) {
      const plan = planWebGpu(problem, target);
      assert.deepEqual(planWebGpu(structuredClone(problem), structuredClone(target)), plan);
      assert.deepEqual(structuredClone(plan), plan);
    }
    assert.deepEqual(problem, before);
  }
});
