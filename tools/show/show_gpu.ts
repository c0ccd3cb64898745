// What a GPU would run (`deno task show gpu`, `deno task show wgsl`): the plan for a machine that need not be there,
// and the text of its main kernel.
import { decodeShader } from "../../shaders/kernels/decode.ts";
import { dkvShader } from "../../shaders/kernels/dkv.ts";
import { dqShader } from "../../shaders/kernels/dq.ts";
import { forwardShader } from "../../shaders/kernels/forward.ts";
import type { StorageKind } from "../../shaders/parts/storage.ts";
import { geometry } from "../../shaders/abi.ts";
import type { Variant } from "../../shaders/parts/variant.ts";
import type { OperandSpec } from "../../src/tensor/view.ts";
import { type GpuPlan, planWebGpu } from "../../src/plan/webgpu/plan.ts";
import type { ChosenTile } from "../../src/plan/webgpu/tiles.ts";
import type { AttentionProblem } from "../../src/problem/problem.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import {
  type CallVariant,
  untiled,
  variantFeatures,
  variantOf,
} from "../../src/webgpu/dispatch/dispatch.ts";

/** A discrete GPU with the limits of Vulkan on NVIDIA. */
const HARDWARE: WebGpuTarget = {
  backend: "webgpu",
  adapter: "a GPU with 48 KiB of workgroup memory",
  software: false,
  dialect: "naga",
  subgroups: { min: 32, max: 32 },
  shaderF16: true,
  timestamps: true,
  limits: {
    storageBinding: 2 ** 31 - 4,
    buffer: 2 ** 31 - 4,
    workgroupBytes: 49152,
    workgroupThreads: 1024,
    storageBuffers: 16,
    workgroups: 65535,
    offsetAlignment: 256,
  },
};
const SOFTWARE: WebGpuTarget = {
  ...HARDWARE,
  adapter: "lavapipe",
  software: true,
  limits: { ...HARDWARE.limits, storageBinding: 2 ** 27, workgroupBytes: 32768 },
};

/** The machines that can be asked about. */
export const GPUS: Readonly<Record<"hardware" | "software", WebGpuTarget>> = {
  hardware: HARDWARE,
  software: SOFTWARE,
};

function tileLine(name: string, chosen: ChosenTile | undefined): string[] {
  if (!chosen) return [];
  const g = geometry(chosen.tile), { tm, tn, nx, ny, chunk } = g;
  return [
    `${
      name.padEnd(9)
    }${g.rows} x ${g.columns}: ${ny} x ${nx} threads of ${tm} x ${tn}, chunks of ${chunk}, ` +
    `${chosen.bytes} bytes, about ${chosen.registers} registers`,
  ];
}

/** A plan, to be read. */
export function showGpuPlan(problem: AttentionProblem, target: WebGpuTarget): string {
  const plan = planWebGpu(problem, target), { kernel, regions, decode } = plan;
  const lines = [
    `on       ${target.adapter}`,
    `kernel   ${kernel}`,
    ...tileLine("forward", plan.forward),
    ...(decode ? [`decode   ${decode.rows} rows at once, ${decode.threads} threads`] : []),
    ...tileLine("dQ", plan.dq),
    ...tileLine("dK/dV", plan.dkv),
    ...tileLine("sums", plan.pairSum),
    `regions  ${regions.length}`,
  ];
  regions.slice(0, 4).forEach((w, n) => {
    lines.push(
      `region ${n}: batch ${w.batchBegin}-${w.batchEnd}, kv heads ${w.kvHeadBegin}-${w.kvHeadEnd}, ` +
        `queries ${w.rowBegin}-${w.rowEnd}, keys ${w.keyBegin}-${w.keyEnd}, ${w.splits} KV splits`,
    );
    for (const [name, items] of [["rows", w.rowItems], ["keys", w.keyItems]] as const) {
      items.slice(0, 4).forEach(({ batch, first, begin, end, slot, pairs }) =>
        lines.push(
          `  ${name} from ${first} of sequence ${batch}: ${begin}-${end}, slot ${slot}, ${pairs} pairs`,
        )
      );
      if (items.length > 4) lines.push(`  ... ${items.length} in all`);
    }
  });
  return lines.join("\n");
}

function kind(spec: OperandSpec | undefined): StorageKind {
  const { dtype = "f32", size = [0, 0, 0, 4] } = spec ?? {};
  return { dtype: dtype as "f32", scalar: size[3] % 4 !== 0 };
}

function variant(problem: AttentionProblem, chosen: ChosenTile | undefined): Variant {
  const { q, k, v } = problem.operands;
  const call: CallVariant = {
    kinds: { q: kind(q), k: kind(k), v: kind(v), dOut: kind(v) },
    grouped: problem.queryHeads > problem.kvHeads,
    features: variantFeatures(problem, (name) => kind(problem.operands[name])),
    statistics: problem.statistics.length > 0,
  };
  return chosen ? variantOf(call, chosen, problem) : untiled(call);
}

/** The kernels of a plan: forward or decode, or dQ and dK/dV. */
function texts(problem: AttentionProblem, plan: GpuPlan): string[] {
  const scalarOut = problem.valueDim % 4 !== 0 || problem.headDim % 4 !== 0;
  if (plan.decode) {
    const v = { ...variant(problem, undefined), grouped: true };
    return [decodeShader(v, plan.decode, { scalarOut })];
  }
  if (plan.forward) return [forwardShader(variant(problem, plan.forward), { scalarOut })];
  const dkv = variant(problem, plan.dkv);
  return [
    dqShader(variant(problem, plan.dq), { scalarOut }),
    ...(plan.dkv!.fused ? ["kv"] as const : ["k", "v"] as const).map((makes) =>
      dkvShader(dkv, makes, { scalarOut })
    ),
  ];
}

/** The WGSL of a problem's main kernels. */
export function showKernels(problem: AttentionProblem, target: WebGpuTarget): string {
  return texts(problem, planWebGpu(problem, target)).join("\n");
}
