/** Tiles of the GPU kernels: within the limits of the device, as the generated shaders really use them, or refused. */

import assert from "node:assert/strict";
import { pairSumShader } from "../../shaders/kernels/pair_sum.ts";
import { topKeysShader } from "../../shaders/kernels/top_keys.ts";
import { decodeShader } from "../../shaders/kernels/decode.ts";
import { dkvShader } from "../../shaders/kernels/dkv.ts";
import { dqShader } from "../../shaders/kernels/dq.ts";
import { forwardShader } from "../../shaders/kernels/forward.ts";
import type { StorageKind } from "../../shaders/parts/storage.ts";
import { decodeBytes, geometry } from "../../shaders/abi.ts";
import type { Variant } from "../../shaders/parts/variant.ts";
import { chooseTile, type ChosenTile, type TiledKernel } from "../../src/plan/webgpu/tiles.ts";
import { decodeShape } from "../../src/plan/webgpu/decode.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import { gpuTarget } from "./targets.ts";

const targets: Readonly<Record<string, WebGpuTarget>> = {
  "software, default limits": gpuTarget(),
  "software, 32 KiB": gpuTarget({ workgroupBytes: 32768, workgroupThreads: 1024 }),
  "hardware, default limits": gpuTarget({}, { software: false }),
  "hardware, 32 KiB": gpuTarget({ workgroupBytes: 32768 }, { software: false }),
  "hardware, 48 KiB": gpuTarget({ workgroupBytes: 49152 }, { software: false }),
  "hardware, 48 KiB, 64 threads": gpuTarget(
    { workgroupBytes: 49152, workgroupThreads: 64 },
    { software: false },
  ),
};
const kernels: readonly TiledKernel[] = ["forward", "dq", "dkv", "pairSum", "inside"];
const dims = [...Array.from({ length: 130 }, (_, n) => n + 1), 160, 192, 255, 256, 257, 384, 512];

const f32: StorageKind = { dtype: "f32", scalar: true };

/** A variant with every feature, which takes the most workgroup memory. */
function variantOf({ tile, blockChunks }: ChosenTile, headDim: number, valueDim: number): Variant {
  return {
    tile,
    headChunks: Math.ceil(headDim / tile.chunk),
    valueChunks: Math.ceil(valueDim / tile.chunk),
    blockChunks,
    kinds: { q: f32, k: f32, v: f32, dOut: f32 },
    grouped: true,
    features: new Map([
      ...[["softcap", ""], ["alibiSlopes", ""], ["bias", "f32s"], ["mask", ""]] as const,
      ...[["sink", ""], ["dropout", ""]] as const,
    ]),
    statistics: true,
  };
}

/** The texts of a kernel: dkv is two where dK and dV are made split. */
function shadersOf(kernel: TiledKernel, chosen: ChosenTile, v: Variant): string[] {
  const scalarOut = true, repeats = { batch: true, head: true, row: true, column: false };
  if (kernel === "forward") return [forwardShader(v, { scalarOut })];
  if (kernel === "dq") return [dqShader(v, { scalarOut })];
  if (kernel === "inside") return [topKeysShader(v)]; // which has the most
  if (kernel === "pairSum") return [pairSumShader(v, "bias", repeats)];
  const parts = chosen.fused ? ["kv"] as const : ["k", "v"] as const;
  return parts.map((part) => dkvShader(v, part, { scalarOut }));
}

/** Bytes of a WGSL type. */
function bytesOf(type: string): number {
  const array = type.match(/^array<(.*), *(\d+)>$/);
  if (array) return bytesOf(array[1]!) * Number(array[2]);
  const scalar = { "vec4<f32>": 16, "vec2<f32>": 8, f32: 4, u32: 4, i32: 4, "atomic<u32>": 4 };
  if (!(type in scalar)) throw new Error(`no test knows the size of ${type}`);
  return scalar[type as "f32"];
}

/** Workgroup bytes that a shader declares, and threads of its workgroup. */
function measure(code: string): { bytes: number; threads: number } {
  const types = [...code.matchAll(/var<workgroup> \w+: (.*);/g)].map(([, type]) => type!);
  const [, size] = code.match(/@workgroup_size\((\d+)\)/)!;
  return { bytes: types.reduce((sum, type) => sum + bytesOf(type), 0), threads: Number(size) };
}

for (const [name, target] of Object.entries(targets)) {
  const { workgroupBytes, workgroupThreads } = target.limits;

  Deno.test(`tiles of every head dim fit the limits: ${name}`, () => {
    for (const kernel of kernels) {
      for (const dim of dims) {
        for (const valueDim of [dim, 1, 512]) {
          for (const split of [false, true]) {
            const needs = { headDim: dim, valueDim, flops: 1e10, split };
            const chosen = chooseTile(kernel, needs, target), g = geometry(chosen.tile);
            const about = `${kernel} ${dim}/${valueDim}: ${JSON.stringify(chosen)}`;
            assert.ok(chosen.bytes <= workgroupBytes, about);
            assert.ok(g.threads <= workgroupThreads, about);
            // the widest result that the kernel makes
            const columns = {
              forward: valueDim,
              dq: dim,
              dkv: Math.max(dim, valueDim),
              pairSum: 0,
              inside: 0,
            };
            const chunks = Math.ceil(columns[kernel] / g.chunk);
            const sums = kernel !== "pairSum" && kernel !== "inside";
            assert.ok(!sums || chosen.blockChunks >= 1, about);
            assert.ok(!sums || chosen.blockChunks <= chunks, about);
            if (chosen.fused) assert.ok(!split || kernel !== "dkv", `${about} is not split`);
          }
        }
      }
    }
  });

  Deno.test(`shaders use the workgroup memory that was counted, and no more: ${name}`, () => {
    for (const kernel of kernels) {
      for (
        const [headDim, valueDim] of [[1, 1], [20, 33], [64, 64], [128, 96], [256, 512]] as const
      ) {
        const needs = { headDim, valueDim, flops: 1e10, kept: true };
        const chosen = chooseTile(kernel, needs, target);
        const v = variantOf(chosen, headDim, valueDim);
        for (const code of shadersOf(kernel, chosen, v)) {
          const { bytes, threads } = measure(code), about = `${kernel} ${headDim}/${valueDim}`;
          assert.ok(bytes <= chosen.bytes, `${about} uses ${bytes}, ${chosen.bytes} were counted`);
          // the vote of masked tiles, and variables that begin at multiples of 16
          assert.ok(chosen.bytes - bytes <= 48, `${about} uses only ${bytes} of ${chosen.bytes}`);
          assert.equal(threads, geometry(chosen.tile).threads);
        }
      }
    }
  });

  Deno.test(`decode takes few rows where they fit, in the memory it says: ${name}`, () => {
    let taken = 0;
    const rows = [[1, 1], [1, 16], [2, 8], [7, 1], [7, 2], [1, 17], [8, 1]] as const;
    const dims = [[1, 1], [20, 33], [128, 128], [512, 20], [512, 512]] as const;
    for (const [lengthQ, group] of rows) {
      for (const [headDim, valueDim] of dims) {
        const sizes = { lengthQ, group, headDim, valueDim };
        const shape = decodeShape(sizes, target);
        if (lengthQ * group > 16 || lengthQ > 7) assert.equal(shape, undefined);
        if (!shape) continue;
        taken++;
        assert.equal(shape.rows, lengthQ * group);
        const v = variantOf(
          { ...chooseTile("forward", { headDim, valueDim, flops: 1 }, target) },
          1,
          1,
        );
        const text = decodeShader({ ...v, statistics: true }, shape, { scalarOut: true });
        const { bytes, threads } = measure(text);
        assert.ok(bytes <= decodeBytes(shape), `${bytes} of ${decodeBytes(shape)}`);
        assert.ok(bytes <= workgroupBytes && threads <= workgroupThreads, `${bytes}, ${threads}`);
      }
    }
    assert.ok(taken >= 7, `only ${taken} shapes`);
  });
}

Deno.test("where no tile fits, planning is refused with the limits", () => {
  const small = [
    [{ workgroupBytes: 8192 }, /no tile fits 8192 bytes of workgroup memory and 256 threads/],
    [{ workgroupThreads: 16 }, /no tile fits 16384 bytes of workgroup memory and 16 threads/],
  ] as const;
  for (const [limits, message] of small) {
    for (const software of [true, false]) {
      for (const kernel of kernels) {
        const needs = { headDim: 64, valueDim: 64, flops: 1e10 };
        assert.throws(() => chooseTile(kernel, needs, gpuTarget(limits, { software })), (error) => {
          return error instanceof RangeError && message.test(error.message);
        });
      }
    }
  }
});

Deno.test("hardware gets larger tiles than software, and padding is not paid for", () => {
  const rows = (headDim: number, software: boolean) => {
    const target = gpuTarget({ workgroupBytes: 49152 }, { software });
    return geometry(chooseTile("forward", { headDim, valueDim: headDim, flops: 1e8 }, target).tile);
  };
  assert.ok(rows(64, false).rows > rows(64, true).rows);
  for (const dim of dims) {
    const { chunk } = rows(dim, false);
    assert.equal(Math.ceil(dim / chunk) * chunk, Math.ceil(dim / 32) * 32, `dim ${dim}`);
  }
});
