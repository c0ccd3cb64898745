/** Work items of calls with a mask function: what they say about tiles, against every pair. Nothing is computed. */

import assert from "node:assert/strict";
import { type HostTensor, maskMod, masks } from "../../mod.ts";
import { ALWAYS, NEVER } from "../../src/expression/verdict.ts";
import type { GpuPlan } from "../../src/plan/webgpu/plan.ts";
import { planWebGpu } from "../../src/plan/webgpu/plan.ts";
import type { GpuItem } from "../../src/plan/webgpu/work_items.ts";
import {
  type AttentionProblem,
  describeBackward,
  describeForward,
} from "../../src/problem/problem.ts";
import { type Case, caseName, defineCase } from "../case.ts";
import { makeInputs } from "../inputs.ts";
import type { MaskName } from "../mods.ts";
import { placeOf } from "../reference/features.ts";
import { describeProblem, type Problem } from "../reference/problem.ts";
import { gpuTarget } from "./targets.ts";

const names: readonly MaskName[] = [
  ...["prefix", "documents", "dilated", "global", "strided", "heads"] as const,
];

/** Shapes whose tiles hold whole queries and parts of them, and regions of few keys. */
const shapes: readonly Partial<Case>[] = [
  { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 150, lengthK: 300, keyLengths: [300, 101] },
  { queryHeads: 3, kvHeads: 1, lengthQ: 230, lengthK: 190 },
  { lengthQ: 3, lengthK: 1500, causal: true },
];

/** Plans of both passes, on devices of all sizes. */
function plansOf(c: Case): { problem: AttentionProblem; plan: GpuPlan }[] {
  const { q, k, v, dOut, options } = makeInputs(c);
  const lse = { data: new Float32Array(c.batch * c.queryHeads * c.lengthQ) };
  const rows = { ...lse, shape: [c.batch, c.queryHeads, c.lengthQ] };
  const saved = { q, k, v, out: dOut, lse: rows };
  const problems = [
    describeForward(q, k, v, options).problem,
    describeBackward(dOut as HostTensor, saved, options).problem,
  ];
  const limits = [{}, { storageBinding: 65536 }];
  return problems.flatMap((problem) =>
    limits.map((limit) => ({ problem, plan: planWebGpu(problem, gpuTarget(limit)) }))
  );
}

/** What the tiles of an item are: ranges of queries and of keys, in the region. */
function* tilesOf(plan: GpuPlan, items: "rowItems" | "keyItems", item: GpuItem, group: number) {
  const tile = items === "keyItems" ? plan.dkv! : plan.forward ?? plan.dq;
  if (!tile) return;
  for (let n = 0, at = item.begin; at < item.end; n++, at += tile.columns) {
    const streamed = [at, Math.min(item.end, at + tile.columns)] as const;
    const own = [item.first, item.first + tile.rows] as const;
    const [rows, keys] = items === "keyItems" ? [streamed, own] : [own, streamed];
    yield { verdict: item.verdicts![n]!, rows: rows.map((r) => r / group), keys };
  }
}

/** Whether some head of the call, and whether all of them, see a pair. */
type Seen = (b: number, i: number, j: number) => { some: boolean; all: boolean };

function seenPairs(problem: Problem): Seen {
  const { batch, queryHeads, lengthQ, lengthK, options } = problem;
  const condition = (options.maskMod ?? options.blockMask)!;
  const counts = new Uint8Array(batch * lengthQ * lengthK);
  counts.forEach((_, n) => {
    const j = n % lengthK, i = Math.floor(n / lengthK) % lengthQ;
    const b = Math.floor(n / (lengthK * lengthQ));
    for (let h = 0; h < queryHeads; h++) {
      counts[n]! += Number(condition.visible(placeOf(problem, b, h, i, j)));
    }
  });
  return (b, i, j) => {
    const count = counts[(b * lengthQ + i) * lengthK + j]!;
    return { some: count > 0, all: count === queryHeads };
  };
}

Deno.test("verdicts about tiles hold for every pair, and no seen pair is left out", async (t) => {
  for (const shape of shapes) {
    const cases: Partial<Case>[] = names.flatMap((mask) => [
      { maskMod: mask },
      { blockMask: { made: "blocks", size: [16, 40], mask } },
    ]);
    cases.push({ blockMask: { made: "lists", size: [64, 5], mask: "heads" } });
    for (const condition of cases) {
      const c = defineCase({ ...shape, headDim: 48, ...condition });
      await t.step(caseName(c), () => {
        const { q, k, v, options } = makeInputs(c);
        const seen = seenPairs(describeProblem(q, k, v, options));
        for (const { plan } of plansOf(c)) checkPlan(seen, plan);
      });
    }
  }
});

function checkPlan(seen: Seen, plan: GpuPlan): void {
  for (const region of plan.regions) {
    const group = region.groupEnd - region.groupBegin;
    const rows = region.rowEnd - region.rowBegin;
    for (const items of ["rowItems", "keyItems"] as const) {
      for (const item of region[items]) {
        const { batch, limit } = item, b = region.batchBegin + batch;
        for (const { verdict, rows: [first, end], keys } of tilesOf(plan, items, item, group)) {
          for (let i = Math.floor(first!); i < Math.min(rows, Math.ceil(end!)); i++) {
            for (let j = keys[0]; j < Math.min(limit, keys[1]); j++) {
              const at = [region.rowBegin + i, region.keyBegin + j] as const;
              const { some, all } = seen(b, ...at);
              if (verdict === NEVER && some) assert.fail(`pair ${at} is seen in a tile of never`);
              if (verdict === ALWAYS && !all) {
                assert.fail(`pair ${at} is hidden in a tile of always`);
              }
            }
          }
        }
      }
    }
    checkCovered(seen, plan, region, group);
  }
}

/** Every pair that is seen lies in what some row item streams. */
function checkCovered(
  seen: Seen,
  plan: GpuPlan,
  region: GpuPlan["regions"][number],
  group: number,
): void {
  const tileRows = (plan.forward ?? plan.dq)?.rows ?? Infinity;
  region.spans.forEach(({ lengthK, low, high }, batch) => {
    const own = region.rowItems.filter((item) => item.batch === batch);
    for (let i = 0; i < region.rowEnd - region.rowBegin; i++) {
      const row = i * group;
      const mine = own.filter(({ first }) => first <= row && row < first + tileRows);
      for (let j = Math.max(0, i + low); j <= Math.min(lengthK - 1, i + high); j++) {
        const at = [region.rowBegin + i, region.keyBegin + j] as const;
        if (!seen(region.batchBegin + batch, ...at).some) continue;
        if (!mine.some(({ begin, end }) => begin <= j && j < end)) {
          assert.fail(`pair ${at} is left out`);
        }
      }
    }
  });
}

Deno.test("long calls stream little more than the tiles that somebody sees", () => {
  const length = 8192, ids = Int32Array.from({ length }, (_, n) => Math.floor(n / 700));
  const x = { data: new Float32Array(length * 16), shape: [1, length, 1, 16] };
  const subjects = {
    documents: { mask: masks.documents(ids), sees: (i: number, j: number) => ids[i] === ids[j] },
    "causal documents": {
      mask: masks.documents(ids).and(masks.causal()),
      sees: (i: number, j: number) => ids[i] === ids[j] && j <= i,
    },
    "a prefix and a window": {
      mask: maskMod(({ key }) => key.lt(100)).or(masks.window(300, 0)),
      sees: (i: number, j: number) => j < 100 || (i - 300 <= j && j <= i),
    },
  };
  for (const [name, { mask, sees }] of Object.entries(subjects)) {
    const { problem } = describeForward(x, x, x, { maskMod: mask });
    const plan = planWebGpu(problem, gpuTarget({})), { rows, columns } = plan.forward!;
    let run = 0, wanted = 0;
    for (const item of plan.regions[0]!.rowItems) {
      item.verdicts!.forEach((verdict, n) => {
        run += Number(verdict !== NEVER);
        const from = item.begin + n * columns, to = Math.min(item.end, from + columns);
        let seen = false;
        for (let i = item.first; i < item.first + rows && !seen; i++) {
          for (let j = from; j < to && !seen; j++) seen = sees(i, j);
        }
        wanted += Number(seen);
      });
    }
    assert.ok(run <= 1.15 * wanted, `${name}: ${run} tiles are run, ${wanted} hold a pair`);
  }
});
