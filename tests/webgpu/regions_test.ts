/** Regiones: they tile a problem and every binding of every region fits, results and gradients included. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { rowMajor } from "../../src/tensor/shape.ts";
import { elementBytes, type OperandSpec } from "../../src/tensor/view.ts";
import { ITEM_WORDS, VERDICTS_OF_WORD } from "../../shaders/abi.ts";
import { planWebGpu } from "../../src/plan/webgpu/plan.ts";
import { planRegions, type Region } from "../../src/plan/webgpu/regions.ts";
import { mostTiles } from "../../src/plan/webgpu/work_items.ts";
import { type AttentionProblem, describeForward } from "../../src/problem/problem.ts";
import { parseProblem } from "../../tools/show/show.ts";
import { gpuTarget } from "./targets.ts";

/** A tensor as a shader sees it: its bytes an element, and which range of each axis a region takes. */
interface Bound {
  readonly name: string;
  readonly bytes: number;
  readonly strides: readonly number[];
  range(region: Region): readonly (readonly [begin: number, end: number])[];
}

/** Every tensor that kernels bind, from the contract: inputs as they lie, results row-major and f32. */
function boundTensors(problem: AttentionProblem): Bound[] {
  const { operands, layout, pass } = problem, group = problem.queryHeads / problem.kvHeads;
  const found: Bound[] = [];
  const add = (
    name: string,
    spec: OperandSpec | undefined,
    follows: "queries" | "keys" | "scores",
  ) => {
    if (!spec) return;
    const range = (region: Region) =>
      [
        [region.batchBegin, region.batchEnd] as const,
        follows === "keys" ? [region.kvHeadBegin, region.kvHeadEnd] as const : [
          region.kvHeadBegin * group + region.groupBegin,
          (region.kvHeadEnd - 1) * group + region.groupEnd,
        ] as const,
        follows === "keys"
          ? [region.keyBegin, region.keyEnd] as const
          : [region.rowBegin, region.rowEnd] as const,
        follows === "scores"
          ? [region.keyBegin, region.keyEnd] as const
          : [0, spec.size[3]] as const,
      ].map((one, axis) => spec.size[axis] === 1 ? [0, 1] as const : one);
    found.push({ name, bytes: elementBytes(spec), strides: spec.strides, range });
  };
  const dense = (
    spec: OperandSpec | undefined,
    order: readonly number[],
  ): OperandSpec | undefined => {
    if (!spec) return undefined;
    const strides = rowMajor(order.map((axis) => spec.size[axis]!));
    const back = order.map((_, axis) => strides[order.indexOf(axis)]);
    return { ...spec, dtype: "f32", strides: back as unknown as OperandSpec["strides"] };
  };
  const { q, k, v, out, dOut, lse, bias } = operands;
  const order = layout === "bshd" ? [0, 2, 1, 3] : [0, 1, 2, 3];
  add("q", q, "queries");
  add("k", k, "keys");
  add("v", v, "keys");
  add("bias", bias, "scores");
  if (pass === "forward") {
    const size = [...q!.size.slice(0, 3), problem.valueDim] as unknown as OperandSpec["size"];
    add("out, as it is made", dense({ ...q!, size }, order), "queries");
    const rows = [...q!.size.slice(0, 3), 1] as unknown as OperandSpec["size"];
    add("lse", dense({ ...q!, size: rows }, [0, 1, 2, 3]), "queries");
    return found;
  }
  add("out", out, "queries");
  add("dOut", dOut, "queries");
  add("lse", lse, "queries");
  add("dq, as it is made", dense(q, order), "queries");
  add("dk, as it is made", dense(k, order), "keys");
  add("dv, as it is made", dense(v, order), "keys");
  add("dBias, as it is made", dense(bias, [0, 1, 2, 3]), "scores");
  return found;
}

/** Bytes that must be bound for a region, from the aligned byte at or before its first element. */
function bindingBytes({ bytes, strides, range }: Bound, region: Region, alignment: number): number {
  const ends = range(region);
  const first = ends.reduce((sum, [begin], axis) => sum + begin * strides[axis]!, 0) * bytes;
  const last = ends.reduce((sum, [, end], axis) => sum + (end - 1) * strides[axis]!, 0) * bytes;
  return last + bytes - Math.floor(first / alignment) * alignment;
}

/** Regiones meet each (sequence, query head, query, key) once; heads of a group only where they have one kv head. */
function checkTiling(problem: AttentionProblem, regions: readonly Region[]): void {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK } = problem, group = queryHeads / kvHeads;
  const met = new Uint8Array(batch * queryHeads * lengthQ * lengthK);
  for (const region of regions) {
    const whole = region.groupEnd - region.groupBegin === group;
    assert.ok(whole || region.kvHeadEnd - region.kvHeadBegin === 1, JSON.stringify(region));
    for (let b = region.batchBegin; b < region.batchEnd; b++) {
      for (let h = region.kvHeadBegin; h < region.kvHeadEnd; h++) {
        for (let g = region.groupBegin; g < region.groupEnd; g++) {
          for (let i = region.rowBegin; i < region.rowEnd; i++) {
            const row = ((b * queryHeads + h * group + g) * lengthQ + i) * lengthK;
            for (let j = region.keyBegin; j < region.keyEnd; j++) met[row + j]!++;
          }
        }
      }
    }
  }
  assert.ok(met.every((n) => n === 1), "regions tile the problem");
}

function checkFit(problem: AttentionProblem, regions: readonly Region[], limits: {
  readonly storageBinding: number;
  readonly offsetAlignment: number;
}): void {
  for (const bound of boundTensors(problem)) {
    for (const region of regions) {
      const bytes = bindingBytes(bound, region, limits.offsetAlignment);
      const about = `${bound.name} needs a binding of ${bytes} bytes in ${JSON.stringify(region)}`;
      assert.ok(bytes <= limits.storageBinding, `${about}, the limit is ${limits.storageBinding}`);
    }
  }
}

function check(words: string, limits: Parameters<typeof gpuTarget>[0]): Region[] {
  const { problem } = parseProblem(words.split(" ").filter((word) => word !== ""));
  const regions = planRegions(problem, gpuTarget(limits).limits);
  if (problem.batch * problem.lengthQ * problem.lengthK < 1e7) checkTiling(problem, regions);
  checkFit(problem, regions, gpuTarget(limits).limits);
  return regions;
}

Deno.test("what fits is not cut", () => {
  assert.equal(check("forward q=2x70x4x20 k=2x131x2x20", {}).length, 1);
  assert.equal(check("backward q=2x70x4x20 k=2x131x4x20 bias=4x70x131", {}).length, 1);
});

Deno.test("regions of random problems tile them and fit", () => {
  const random = fc.record({
    pass: fc.constantFrom("forward", "backward"),
    batch: fc.integer({ min: 1, max: 4 }),
    kvHeads: fc.integer({ min: 1, max: 5 }),
    group: fc.integer({ min: 1, max: 3 }),
    lengthQ: fc.integer({ min: 1, max: 90 }),
    lengthK: fc.integer({ min: 1, max: 90 }),
    dim: fc.constantFrom(8, 33, 64),
    dtype: fc.constantFrom("f32", "f16"),
    bhsd: fc.boolean(),
    bias: fc.constantFrom("", "bias=head", "bias=rows", "bias=keys"),
    storageBinding: fc.integer({ min: 2000, max: 60000 }),
  });
  fc.assert(
    fc.property(random, (r) => {
      const shape = (length: number, heads: number) =>
        (r.bhsd ? [r.batch, heads, length, r.dim] : [r.batch, length, heads, r.dim]).join("x");
      const heads = r.kvHeads * r.group;
      const bias = r.bias.replace("head", `${r.batch}x${heads}x${r.lengthQ}x${r.lengthK}`)
        .replace("rows", `${r.lengthQ}x1`).replace("keys", `${r.lengthK}`);
      const words = [r.pass, `q=${shape(r.lengthQ, heads)}`, `k=${shape(r.lengthK, r.kvHeads)}`];
      words.push(bias, `dtype=${r.dtype}`, r.bhsd ? "bhsd" : "");
      check(words.join(" "), { storageBinding: r.storageBinding });
    }),
    { seed: 20261122, numRuns: 300 },
  );
});

Deno.test("heads that share a kv head are cut too: no row of one head is too large", () => {
  // a binding of 128 MiB, the default, and 16 query heads of 32 768 queries that lie one after the other
  check("forward q=1x16x32768x128 k=1x1x1024x128 bhsd", {});
  // a bias for each head
  check("forward q=1x4096x4x64 k=1x4096x1x64 bias=4x4096x4096", {});
  check("backward q=1x4096x4x64 k=1x4096x1x64 bias=4x4096x4096", {});
});

Deno.test("a gradient in 16 bits fits while it is made in 32", () => {
  for (
    const words of ["q=1x8x64x8 k=1x8x64x8 bhsd bias=8x64x64", "q=1x64x4x8 k=1x64x4x8 bias=64"]
  ) {
    const { problem } = parseProblem(["backward", ...words.split(" ")]);
    const bias: OperandSpec = { ...problem.operands.bias!, dtype: "f16" };
    const narrow = { ...problem, operands: { ...problem.operands, bias } };
    for (const storageBinding of [9000, 40000, 70000]) {
      const { limits } = gpuTarget({ storageBinding });
      checkFit(narrow, planRegions(narrow, limits), limits);
    }
  }
});

Deno.test("lse fits as well where few columns are cut by rows", () => {
  check("forward q=1x400x8x4 k=1x50x8x4", { storageBinding: 4096 });
  check("backward q=1x400x8x4 k=1x50x8x4", { storageBinding: 4096 });
});

Deno.test("heads and sequences are cut where a dispatch has no room for them", () => {
  for (const words of ["forward q=20x3x18x4 k=20x4x9x4", "forward q=9x3x20x4 k=9x4x10x4"]) {
    const { problem } = parseProblem(words.split(" ")), most = 8;
    for (const region of planRegions(problem, gpuTarget({ workgroups: most }).limits)) {
      const group = region.groupEnd - region.groupBegin;
      assert.ok(region.batchEnd - region.batchBegin <= most);
      // merges and delta have a workgroup for each query head
      assert.ok((region.kvHeadEnd - region.kvHeadBegin) * group <= most, JSON.stringify(region));
    }
  }
});

Deno.test("a row that does not fit is refused with its bytes and the limit", () => {
  const { problem } = parseProblem("forward q=1x1x1x4000 k=1x9x1x4000".split(" "));
  const limits = gpuTarget({ storageBinding: 4096 }).limits;
  assert.throws(() => planRegions(problem, limits), /RangeError.*16000 bytes.*3840 bytes/);
});

Deno.test("what is known of the tiles of a mask fits beside it", () => {
  const length = 2 ** 19, x = { data: new Float32Array(length), shape: [1, length, 1, 1] };
  const mask = { data: new Uint8Array(length), shape: [length] };
  for (const software of [true, false]) {
    const target = gpuTarget({}, { software });
    const { problem } = describeForward(x, x, x, { mask }),
      { regions } = planWebGpu(problem, target);
    for (const { rowItems, keyBegin, keyEnd } of regions) {
      const words = rowItems.length * Math.ceil(mostTiles(rowItems) / VERDICTS_OF_WORD);
      const bytes = 4 * words + 4 * ITEM_WORDS * rowItems.length + keyEnd - keyBegin;
      assert.ok(words > 0 && bytes <= target.limits.storageBinding, `${bytes} bytes`);
    }
  }
});

Deno.test("what kernels keep of rows beside tensors fits a binding", () => {
  const rowsOf = (region: Region) =>
    (region.batchEnd - region.batchBegin) * (region.rowEnd - region.rowBegin) *
    (region.kvHeadEnd - region.kvHeadBegin) * (region.groupEnd - region.groupBegin);
  // four floats of each row of gradients, which may be more than the row
  for (
    const words of ["q=1x6000x1x1 k=1x40x1x1", "q=2x900x4x2 k=2x40x1x2", "q=3x3x900x1 k=3x3x9x1"]
  ) {
    const storageBinding = 32768, regions = check(`backward ${words}`, { storageBinding });
    for (const region of regions) assert.ok(16 * rowsOf(region) <= storageBinding, words);
  }
  // partial results of all splits, on hardware that wants many
  const { problem } = parseProblem("forward q=1x900x1x100 k=1x1100x1x100".split(" "));
  for (const storageBinding of [2 ** 19, 2 ** 20]) {
    const { regions } = planWebGpu(problem, gpuTarget({ storageBinding }, { software: false }));
    for (const region of regions) {
      const bytes = 4 * region.splits * rowsOf(region) * 100;
      assert.ok(bytes <= storageBinding, `${bytes} of ${storageBinding}`);
    }
    assert.equal(regions[0]!.splits, storageBinding === 2 ** 19 ? 1 : 2);
  }
});
