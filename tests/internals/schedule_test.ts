/** Every schedule against a boolean mask of all pairs: each pair once, none forgotten, flags and order right. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { Kernel } from "../../asm/abi.ts";
import { type Plan, planAttention, type PlannedRegion } from "../../src/plan/wasm/plan.ts";
import type { WorkItem } from "../../src/plan/wasm/work_items.ts";
import type { AttentionProblem } from "../../src/problem/problem.ts";
import { parseProblem, wasmTarget } from "../../tools/show/show.ts";
import { isVisible } from "../visible.ts";

/** Problems in the words of `deno task show`. */
const problems: readonly string[] = [
  "forward q=1x17x1x8 k=1x17x1x8",
  "forward q=2x70x4x300 k=2x131x2x300",
  "forward q=2x131x4x300 k=2x70x2x300 causal",
  "forward q=2x70x4x300 k=2x131x1x300 causal=top-left",
  "forward q=2x70x4x300 k=2x131x4x300 causal=-3,40",
  "forward q=1x97x2x300 k=1x97x2x300 causal=5000",
  "forward q=1x97x2x300 k=1x97x2x300 causal=-5000",
  "forward q=3x70x2x400 k=3x90x1x400 keyLengths=0,1,90 causal window=9,20",
  "forward q=1x300x2x200 k=1x300x2x200 window=16,3",
  "forward q=1x300x2x200 k=1x300x2x200 window=,0 bhsd",
  "forward q=1x2x300x200 k=1x2x300x200 causal bhsd",
  "forward q=1x700x1x2048 k=1x40x1x2048",
  "forward q=2x700x2x2048 k=2x40x1x2048 causal",
  "forward q=1x300x1x64 k=1x300x1x64 bias=1x1x300x300 mask=300x300",
  "forward q=1x0x2x8 k=1x20x2x8",
  "forward q=1x20x2x8 k=1x0x2x8",
  "forward q=0x20x2x8 k=0x20x2x8",
  "forward q=1x20x0x8 k=1x20x0x8",
  // few rows to a kv head: decode, whole and in splits
  "forward q=1x1x8x64 k=1x300x8x64",
  "forward q=1x1x8x512 k=1x2500x1x512",
  "forward q=1x2x8x512 k=1x2500x1x512 causal window=2000,",
  "forward q=3x1x4x512 k=3x2600x1x512 keyLengths=0,2600,700",
  "forward q=1x4x4x512 k=1x2048x1x512 dtype=bf16",
  "forward q=1x4x4x512 k=1x2048x1x512 kdtype=f16",
  "forward q=1x1x8x512 k=1x2500x1x512 resident",
  // backward, whole and in splits
  "backward q=1x17x1x8 k=1x17x1x8",
  "backward q=2x70x4x300 k=2x131x2x300 causal",
  "backward q=1x200x2x512 k=1x800x1x512",
  "backward q=1x200x2x512 k=1x800x1x512 causal",
  "backward q=1x200x1x512 k=1x1000x1x512 window=40,10",
  "backward q=3x60x1x512 k=3x800x1x512 keyLengths=0,800,97 causal",
  "backward q=1x200x2x512 k=1x800x1x512 causal=-10000",
  "backward q=1x800x1x1024 k=1x400x1x1024",
  "backward q=1x800x2x1024 k=1x400x2x1024 causal",
  "backward q=2x800x4x1024 k=2x400x2x1024 window=100,0",
  "backward q=2x300x4x64 k=2x300x2x64 bias=2x4x300x300",
  "backward q=2x300x4x64 k=2x300x2x64 bias=300 resident",
  "backward q=1x200x2x512 k=1x800x1x512 causal resident",
  "backward q=1x0x2x8 k=1x20x2x8",
  "backward q=1x20x2x8 k=1x0x2x8",
];

/** A table of [batch, query head, query, key]. */
class Pairs {
  readonly counts: Uint8Array;
  constructor(readonly problem: AttentionProblem) {
    const { batch, queryHeads, lengthQ, lengthK } = problem;
    this.counts = new Uint8Array(batch * queryHeads * lengthQ * lengthK);
  }
  row(batch: number, head: number, i: number): number {
    const { queryHeads, lengthQ, lengthK } = this.problem;
    return ((batch * queryHeads + head) * lengthQ + i) * lengthK;
  }
}

/** The query heads of an item: one in forward and joins, those of a kv head otherwise. */
function headsOf(problem: AttentionProblem, { kernel, head }: WorkItem): number[] {
  if (kernel !== Kernel.Decode && kernel !== Kernel.Backward) return [head];
  const group = problem.queryHeads / problem.kvHeads;
  return Array.from({ length: group }, (_, n) => head * group + n);
}

function checkItem(problem: AttentionProblem, region: PlannedRegion, item: WorkItem): void {
  const { batch, rowBegin, rowEnd, keyBegin, keyEnd } = item;
  const group = problem.queryHeads / problem.kvHeads;
  assert.ok(region.batchBegin <= batch && batch < region.batchEnd);
  for (const head of headsOf(problem, item)) {
    const kvHead = Math.floor(head / group);
    assert.ok(region.kvHeadBegin <= kvHead && kvHead < region.kvHeadEnd);
  }
  assert.ok(region.rowBegin <= rowBegin && rowBegin <= rowEnd && rowEnd <= region.rowEnd);
  assert.ok(0 <= keyBegin && keyBegin <= keyEnd && keyEnd <= problem.lengthK);
}

/** Each pair belongs to one item, and what an item is said to cost is what it can see. */
function checkCoverage(problem: AttentionProblem, plan: Plan): void {
  const pairs = new Pairs(problem);
  let visible = 0;
  for (const region of plan.regions) {
    for (const item of region.steps[0]!.items) {
      checkItem(problem, region, item);
      let seen = 0;
      for (const head of headsOf(problem, item)) {
        for (let i = item.rowBegin; i < item.rowEnd; i++) {
          const row = pairs.row(item.batch, head, i);
          for (let j = item.keyBegin; j < item.keyEnd; j++) {
            pairs.counts[row + j]!++;
            if (isVisible(problem, item.batch, i, j)) seen++;
          }
        }
      }
      assert.equal(item.pairs, seen, "the pairs of an item");
      visible += seen;
    }
  }
  // invisible pairs belong to an item as well: somebody must write their zeros
  assert.ok(pairs.counts.every((count) => count === 1), "each pair belongs to one item");
  assert.equal(plan.cost.visiblePairs, visible);
  assert.equal(plan.cost.pairs, pairs.counts.length);
}

/** Regions tile [batch, kv head, row]; regions of rows of the same heads follow each other. */
function checkRegions(problem: AttentionProblem, plan: Plan): void {
  const { batch, kvHeads, lengthQ } = problem;
  const rowsDone = new Int32Array(batch * kvHeads);
  plan.regions.forEach((region, n) => {
    const { rowBegin, rowEnd, last, accumulate } = region;
    for (let b = region.batchBegin; b < region.batchEnd; b++) {
      for (let h = region.kvHeadBegin; h < region.kvHeadEnd; h++) {
        assert.equal(rowsDone[b * kvHeads + h], rowBegin, "rows come in order, without a gap");
        rowsDone[b * kvHeads + h] = rowEnd;
      }
    }
    assert.equal(accumulate, plan.kernel === "backward" && rowBegin > 0, "accumulate");
    assert.equal(last, rowEnd === lengthQ, "last");
    if (rowBegin > 0) {
      const before = plan.regions[n - 1]!;
      const same = { ...region, rowBegin: before.rowBegin, rowEnd: rowBegin };
      const { accumulate: _a, last: _l, steps: _s, ...box } = same;
      const { accumulate: _b, last: _m, steps: _t, ...boxBefore } = before;
      assert.deepEqual(box, boxBefore, "no other heads come between the rows of some");
    }
    if (lengthQ > 0) assert.ok(rowBegin < rowEnd, "a region has rows");
  });
  assert.ok(rowsDone.every((rows) => rows === lengthQ), "all rows of all heads have a region");
  if (plan.kernel === "decode") assert.ok(plan.regions.every((w) => w.rowBegin === 0 && w.last));
}

/** Partial results: where they go, and that one join sums each. */
function checkSplits(problem: AttentionProblem, plan: Plan): void {
  const { kernel, splits } = plan;
  const group = problem.queryHeads / problem.kvHeads;
  for (const region of plan.regions) {
    const byHead = new Map<string, WorkItem[]>();
    for (const item of region.steps[0]!.items) {
      const key = `${item.batch} ${item.head}`;
      byHead.set(key, [...byHead.get(key) ?? [], item]);
    }
    for (const items of byHead.values()) {
      items.sort((a, b) => a.keyBegin - b.keyBegin || a.keyEnd - b.keyEnd || a.slot - b.slot);
      const slots = items.map(({ slot }) => slot);
      if (kernel === "forward" || splits === 1) {
        assert.ok(slots.every((slot) => slot === -1), "whole results go to their final place");
      } else {
        // in backward the first split writes dQ itself
        const first = kernel === "decode" ? 0 : -1;
        assert.deepEqual(slots, Array.from({ length: splits }, (_, n) => first + n), "slots");
      }
    }
    if (splits === 1 || kernel === "forward") {
      assert.equal(region.steps.length, 1);
      continue;
    }
    const joined = new Set<string>();
    const combine = region.steps[1]!;
    for (const join of combine.items) {
      checkItem(problem, region, join);
      const wanted: Kernel = kernel === "decode" ? Kernel.Combine : Kernel.ReduceDq;
      assert.equal(join.kernel, wanted);
      assert.deepEqual([join.rowBegin, join.rowEnd], [region.rowBegin, region.rowEnd]);
      joined.add(`${join.batch} ${join.head}`);
    }
    const batches = region.batchEnd - region.batchBegin;
    const heads = (region.kvHeadEnd - region.kvHeadBegin) * group;
    assert.equal(combine.items.length, batches * heads);
    assert.equal(joined.size, batches * heads, "one join for each query head");
  }
}

function checkOrder(plan: Plan): void {
  for (const { items } of plan.regions.flatMap(({ steps }) => steps)) {
    items.forEach((item, n) => {
      if (n > 0) assert.ok(items[n - 1]!.pairs >= item.pairs, "items come longest first");
    });
  }
}

function checkPlan(problem: AttentionProblem, threads: number): Plan {
  const plan = planAttention(problem, wasmTarget(threads));
  assert.ok(plan.threads >= 1 && plan.threads <= threads);
  checkRegions(problem, plan);
  checkCoverage(problem, plan);
  checkSplits(problem, plan);
  checkOrder(plan);
  return plan;
}

for (const words of problems) {
  Deno.test(`the schedule covers every pair once: ${words}`, () => {
    const { problem } = parseProblem(words.split(" "));
    for (const threads of [1, 2, 3, 4, 5]) checkPlan(problem, threads);
  });
}

Deno.test("the problems above reach every kernel, splits, and several regions of rows", () => {
  const seen = new Set<string>();
  for (const words of problems) {
    const { problem } = parseProblem(words.split(" "));
    for (const threads of [1, 2, 3, 4, 5]) {
      const { kernel, splits, regions } = planAttention(problem, wasmTarget(threads));
      seen.add(`${kernel}${splits > 1 ? " in splits" : ""}`);
      if (regions.some(({ rowBegin }) => rowBegin > 0)) {
        seen.add(`${kernel}${splits > 1 ? " in splits" : ""} by rows`);
      }
    }
  }
  assert.deepEqual([...seen].sort(), [
    ...["backward", "backward by rows", "backward in splits", "backward in splits by rows"],
    ...["decode", "decode in splits", "forward", "forward by rows"],
  ]);
});

Deno.test("the schedule of random problems covers every pair once", () => {
  const length = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 150 }));
  const side = fc.option(fc.integer({ min: 0, max: 120 }), { nil: "" });
  const causal = fc.constantFrom("", "causal", "causal=top-left", "causal=7", "causal=-30");
  const random = fc.record({
    pass: fc.constantFrom("forward", "backward"),
    batch: fc.integer({ min: 1, max: 3 }),
    kvHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 4 }),
    lengthQ: length,
    lengthK: fc.oneof(length, fc.integer({ min: 400, max: 700 })),
    dim: fc.constantFrom(8, 600, 2048),
    causal,
    window: fc.option(fc.tuple(side, side), { nil: undefined }),
    lengths: fc.option(fc.tuple(fc.double(), fc.double(), fc.double()), { nil: undefined }),
    resident: fc.boolean(),
    threads: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(random, (r) => {
      const { batch, kvHeads, lengthQ, lengthK, dim } = r;
      const real = r.lengths?.slice(0, batch)
        .map((x) => Math.floor(Math.abs(Math.sin(x || 0)) * (lengthK + 0.99)));
      const words = [
        ...[r.pass, `q=${batch}x${lengthQ}x${kvHeads * r.group}x${dim}`],
        ...[`k=${batch}x${lengthK}x${kvHeads}x${dim}`, r.causal],
        ...[r.window && `window=${r.window}`, real && `keyLengths=${real}`],
        r.resident ? "resident" : "",
      ].filter((word): word is string => Boolean(word));
      checkPlan(parseProblem(words).problem, r.threads);
    }),
    { seed: 20261120, numRuns: 120 },
  );
});

Deno.test("planning is pure: the same plan from the same problem, which stays as it was", () => {
  for (const words of problems) {
    const { problem } = parseProblem(words.split(" "));
    const before = structuredClone(problem);
    const plan = planAttention(problem, wasmTarget(3));
    assert.deepEqual(planAttention(structuredClone(problem), wasmTarget(3)), plan);
    assert.deepEqual(planAttention(problem, wasmTarget(3)), plan);
    assert.deepEqual(problem, before);
  }
});

Deno.test("plans are plain data: they survive a copy between threads", () => {
  const { problem } = parseProblem(problems[1]!.split(" "));
  const plan = planAttention(problem, wasmTarget(2));
  assert.deepEqual(structuredClone(plan), plan);
});
