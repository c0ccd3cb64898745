/** What the classify kernel writes about the tiles of byte masks, read back, against every pair. */

import assert from "node:assert/strict";
import { createEngine, type HostTensor, type MaskTensor } from "../../mod.ts";
import { SOME_HIDDEN, SOME_SEEN } from "../../shaders/abi.ts";
import { planWebGpu } from "../../src/plan/webgpu/plan.ts";
import type { GpuItem } from "../../src/plan/webgpu/work_items.ts";
import { type Call, describeBackward, describeForward } from "../../src/problem/problem.ts";
import { resultSpecs } from "../../src/problem/results.ts";
import { detect, type OpenDevice } from "../../src/webgpu/device/device.ts";
import { GpuMemory } from "../../src/webgpu/device/memory.ts";
import { Pipelines } from "../../src/webgpu/device/pipelines.ts";
import { readBack } from "../../src/webgpu/device/read_back.ts";
import { GpuCall } from "../../src/webgpu/dispatch/call.ts";
import type { Step } from "../../src/webgpu/dispatch/dispatch.ts";
import { Recording } from "../../src/webgpu/dispatch/submit.ts";
import { bothPasses, hostSession } from "../backends.ts";
import { type Case, caseName, defineCase } from "../case.ts";
import { makeInputs } from "../inputs.ts";
import { broadcastIndex } from "../reference/features.ts";
import { describeProblem } from "../reference/problem.ts";
import { near, values } from "./definitions.ts";
import { gpuEngine, gpuTest } from "./support.ts";

const even = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 130, lengthK: 203, headDim: 32 };
const uneven = { ...even, queryHeads: 3, kvHeads: 1, lengthQ: 90 };
const axes = ["bhqk", "1hqk", "b1qk", "qk", "b11k", "bh1k", "k", "bhq1", "1111", "hqk"];

/** Masks that repeat along every axis; groups that tiles are and are no multiple of; lengths, and a diagonal. */
const cases: readonly Case[] = [
  ...axes.flatMap((axes) => [
    defineCase({ ...even, mask: { axes, pattern: "documents" } }),
    defineCase({ ...uneven, mask: { axes, pattern: "blocks" } }),
  ]),
  ...(["random", "padding", "empty rows", "nothing"] as const).map((pattern) =>
    defineCase({ ...even, keyLengths: [203, 61], mask: { axes: "b1qk", pattern } })
  ),
  defineCase({ ...even, causal: true, mask: { axes: "hqk", pattern: "prefix" } }),
  defineCase({ ...even, maskMod: "dilated", mask: { axes: "qk", pattern: "blocks" } }),
];

/** The calls of both passes. */
function callsOf(c: Case): Call[] {
  const { q, k, v, dOut, options } = makeInputs(c);
  const lse = { data: new Float32Array(c.batch * c.queryHeads * c.lengthQ) };
  const saved = { q, k, v, out: dOut, lse: { ...lse, shape: [c.batch, c.queryHeads, c.lengthQ] } };
  return [describeForward(q, k, v, options), describeBackward(dOut as HostTensor, saved, options)];
}

/** Whether a pair is seen, in the call. */
type Seen = (batch: number, head: number, query: number, key: number) => boolean;

function seenBy(c: Case): Seen {
  const { q, k, v, options } = makeInputs(c), { mask } = describeProblem(q, k, v, options);
  return (b, h, i, j) => mask!.values[broadcastIndex(mask!, b, h, i, j)] !== 0;
}

/** The steps of a call that classify, with the regions that they are of; `words`: the schedules that they leave. */
async function classified(open: OpenDevice, { problem, views }: Call) {
  const memory = new GpuMemory(open.device, open.target.limits.buffer, 2 ** 28);
  const pipelines = new Pipelines(open.device), plan = planWebGpu(problem, open.target);
  const results = resultSpecs(problem, views)
    .map((spec) => ({ spec, buffer: memory.take(4 * spec.shape.reduce((a, b) => a * b, 1)) }));
  const call = new GpuCall({ open, memory }, problem, plan, views, results);
  const steps = call.steps().filter(({ kernel }) => kernel.key.startsWith("classify"));
  await pipelines.prepare(steps.map(({ kernel }) => kernel));
  await new Recording(open, pipelines, steps, (bytes) => call.scratch(bytes)).submit("", undefined);
  const read = steps.map(({ bindings: { schedule } }) => {
    const words = new Int32Array(schedule!.size / 4);
    return { buffer: schedule!.buffer, bytes: words.byteLength, host: { data: words, shape: [] } };
  });
  await readBack(open, memory, read as never, "");
  call.dispose();
  memory.dispose();
  const each = plan.regions.flatMap((region) =>
    ([["rowItems", plan.forward ?? plan.dq], ["keyItems", plan.dkv]] as const)
      .flatMap(([side, tile]) => tile ? [{ region, side, tile, items: region[side] }] : [])
  );
  return each.map((one, n) => ({ ...one, problem, step: steps[n]!, words: read[n]!.host.data }));
}

type Classified = Awaited<ReturnType<typeof classified>>[number];

/** The bits of a tile of an item. */
function bitsOf({ params }: Step, words: Int32Array, item: number, tile: number): number {
  const number = params.source_at! + item;
  const word = params.classified_at! + number * params.verdict_words! + (tile >> 4);
  return (words[word]! >>> (2 * (tile % 16))) & 3;
}

/** What the pairs of a tile are: `rows` are queries times heads of a group. */
function pairsOf(
  { problem, region }: Classified,
  seen: Seen,
  batch: number,
  rows: readonly [number, number],
  keys: readonly [number, number],
): number {
  const group = region.groupEnd - region.groupBegin, heads = problem.queryHeads / problem.kvHeads;
  let found = 0;
  for (let head = region.kvHeadBegin; head < region.kvHeadEnd; head++) {
    for (let row = rows[0]; row < rows[1]; row++) {
      const h = head * heads + region.groupBegin + row % group;
      for (let j = keys[0]; j < keys[1] && found !== (SOME_SEEN | SOME_HIDDEN); j++) {
        const i = region.rowBegin + Math.floor(row / group);
        const sees = seen(region.batchBegin + batch, h, i, region.keyBegin + j);
        found |= sees ? SOME_SEEN : SOME_HIDDEN;
      }
    }
  }
  return found;
}

/** Checks all tiles; counts them by their bits. `exact`: whether tiles hold whole queries, or heads are all the same. */
function checkTiles(one: Classified, seen: Seen, exact: boolean, counts: number[]): void {
  const { region, side, tile, items, step, words } = one;
  const total = (region.rowEnd - region.rowBegin) * (region.groupEnd - region.groupBegin);
  items.forEach((item: GpuItem, n) => {
    for (let t = 0, at = item.begin; at < item.end; t++, at += tile.columns) {
      const streamed = [at, Math.min(item.end, at + tile.columns)] as const;
      const limit = side === "keyItems" ? item.limit : total;
      const own = [item.first, Math.min(limit, item.first + tile.rows)] as const;
      const [rows, keys] = side === "keyItems" ? [streamed, own] : [own, streamed];
      const bits = bitsOf(step, words, n, t), want = pairsOf(one, seen, item.batch, rows, keys);
      const about = `${side} ${n}, tile ${t}: rows ${rows}, keys ${keys}`;
      if (exact) assert.equal(bits, want, about);
      assert.equal(bits & want, want, about);
      counts[bits]!++;
    }
  });
}

async function checkCases(t: Deno.TestContext, open: OpenDevice): Promise<void> {
  const counts = [0, 0, 0, 0];
  for (const c of cases) {
    await t.step(caseName(c), async () => {
      const seen = seenBy(c), byHead = c.mask!.axes.includes("h");
      for (const call of callsOf(c)) {
        const group = c.queryHeads / c.kvHeads;
        for (const one of await classified(open, call)) {
          checkTiles(one, seen, !byHead || 32 % group === 0, counts);
        }
      }
    });
  }
  const [none, ...others] = counts;
  assert.equal(none, 0, "every tile has pairs");
  assert.ok(others.every((count) => count > 100), `${others} tiles are seen, hidden, mixed`);
  open.device.destroy();
}

gpuTest("tiles of byte masks are classified by their pairs", async (t) => {
  const found = await detect({ allowFallbackAdapter: true });
  if ("absent" in found) throw new Error(found.absent);
  await checkCases(t, found.open);
});

gpuTest("so are those of the regions of a device with small bindings", async (t) => {
  const limits = { storageBinding: 16384, workgroups: 16 };
  const found = await detect({ allowFallbackAdapter: true, defaultLimits: true, limits });
  if ("absent" in found) throw new Error(found.absent);
  await checkCases(t, found.open);
}, { part: "rest" });

gpuTest("masks whose rows lie apart are classified, and any byte but zero is set", async () => {
  const found = await detect({ allowFallbackAdapter: true });
  if ("absent" in found) throw new Error(found.absent);
  const c = defineCase(even), { q, k, v } = makeInputs(c), { lengthQ, lengthK } = c;
  const sees = (i: number, j: number) => (i >> 6) === (j >> 6) || ((i + j) % 97 === 0 && i < 64);
  const pitch = lengthK + 6, bytes = new Uint8Array(lengthQ * pitch + 3).fill(1);
  for (let i = 0; i < lengthQ; i++) {
    for (let j = 0; j < lengthK; j++) bytes[3 + pitch * i + j] = sees(i, j) ? 1 << (j % 8) : 0;
  }
  const mask: MaskTensor = {
    data: bytes.subarray(3),
    shape: [lengthQ, lengthK],
    strides: [pitch, 1],
  };
  const counts = [0, 0, 0, 0];
  for (const one of await classified(found.open, describeForward(q, k, v, { mask }))) {
    checkTiles(one, (_b, _h, i, j) => sees(i, j), true, counts);
  }
  assert.ok(counts.slice(1).every((count) => count > 0), `${counts}`);
  found.open.device.destroy();
});

gpuTest("kernels pass many tiles that are hidden, in both directions", async () => {
  const c = defineCase({ queryHeads: 2, kvHeads: 1, lengthQ: 1090, lengthK: 1301, headDim: 32 });
  const { lengthQ, lengthK } = c;
  // corners, a block in the middle, and rows that see nothing
  const sees = (i: number, j: number) =>
    (i < 70 || i > 1050) && (j < 5 || j > 1270) || (i >> 5) === 17 && (j >> 5) === 19;
  const data = new Uint8Array(lengthQ * lengthK);
  data.forEach((_, n) => data[n] = Number(sees(Math.floor(n / lengthK), n % lengthK)));
  const inputs = { ...makeInputs(c), options: { mask: { data, shape: [lengthQ, lengthK] } } };
  const gpu = await gpuEngine(), wasm = await createEngine({ backend: "wasm", threads: 1 });
  const got = await bothPasses(hostSession(gpu), inputs);
  const want = await bothPasses(hostSession(wasm), inputs);
  for (const name of ["out", "lse", "dq", "dk", "dv"] as const) {
    near(got[name], values(want[name]), 1e-5, name);
  }
  for (const engine of [gpu, wasm]) engine.dispose();
});
