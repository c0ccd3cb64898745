/**
 * The kernels that compilers are asked about: those of calls on a GPU as wgpu shows one, as the planner plans them.
 * @module
 */

import type { DecodeShape, TileShape } from "../../shaders/abi.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import type { ChosenTile } from "../../src/plan/webgpu/tiles.ts";
import { type Case, defineCase } from "../../tests/case.ts";
import { callsOf, halfInputs, stepsOf } from "../../tests/compilers/kernels.ts";
import { makeInputs } from "../../tests/inputs.ts";
import { gpuTarget } from "../../tests/webgpu/targets.ts";

/** A kernel with what its figures are counted from. */
export interface StaticKernel {
  /** What the pipeline cache knows it by. */
  readonly key: string;
  readonly code: string;
  /** Which call: plain, grouped, mask, or decode with its rows. */
  readonly call: string;
  /** forward, dq, "dkv kv", "dkv k", "dkv v" or decode. */
  readonly kernel: string;
  readonly headDim: number;
  readonly precision: "f32" | "f16";
  /** What k and v of decode are stored in. */
  readonly stored: string;
  readonly tile?: TileShape & { readonly bytes: number };
  readonly decode?: DecodeShape;
}

/** A discrete GPU. */
const target: WebGpuTarget = gpuTarget({
  storageBinding: 2 ** 31 - 4,
  buffer: 2 ** 31 - 4,
  workgroupBytes: 49152,
  workgroupThreads: 1024,
  storageBuffers: 16,
}, { software: false, shaderF16: true, subgroups: { min: 32, max: 32 } });

interface Wanted {
  readonly call: string;
  readonly of: Case;
  readonly precisions: readonly ("f32" | "f16")[];
}

const both = ["f32", "f16"] as const;

function wanted(): Wanted[] {
  const rows = { queryHeads: 2, lengthQ: 8192 };
  const tiled = [64, 128].flatMap((headDim): Wanted[] => [
    { call: "plain", of: defineCase({ ...rows, headDim }), precisions: both },
  ]);
  const mask = { axes: "qk", pattern: "random" } as const;
  const decode = (queryHeads: number, headDim: number, dtype: "f32" | "f16"): Wanted => ({
    call: `${queryHeads} rows`,
    of: defineCase({ queryHeads, kvHeads: 1, lengthQ: 1, lengthK: 2000, headDim, dtype }),
    precisions: ["f32"],
  });
  return [
    ...tiled,
    { call: "grouped", of: defineCase({ ...rows, kvHeads: 1, headDim: 64 }), precisions: both },
    // as few scores as make a mask, but as many operations as unroll
    {
      call: "mask",
      of: defineCase({ ...rows, lengthQ: 6400, headDim: 64, mask }),
      precisions: ["f32"],
    },
    ...[64, 128, 256].map((dim) => decode(8, dim, "f16")),
    ...[decode(8, 128, "f32"), decode(1, 128, "f32")],
  ];
}

/** Kernels with products; each text once. */
export function staticKernels(): StaticKernel[] {
  const found = new Map<string, StaticKernel>();
  for (const { call, of, precisions } of wanted()) {
    for (const precision of precisions) {
      const inputs = precision === "f16" ? halfInputs(of) : makeInputs(of);
      const calls = callsOf(inputs).slice(0, call.endsWith("rows") ? 1 : 2);
      for (const { plan, steps } of calls.map((one) => stepsOf(one, target))) {
        for (const { kernel: { key, code } } of steps) {
          const kernel = key.split(",")[0]!, name = kernel.split(" ")[0]!;
          const chosen = (plan as unknown as Record<string, ChosenTile>)[name];
          if (!/^(forward|dq|dkv \w+|decode)$/.test(kernel) || found.has(key)) continue;
          found.set(key, {
            ...{ key, code: code(), call, kernel, headDim: of.headDim, precision },
            stored: of.dtype,
            ...(name === "decode"
              ? { decode: plan.decode! }
              : { tile: { ...chosen!.tile, bytes: chosen!.bytes } }),
          });
        }
      }
    }
  }
  return [...found.values()];
}
