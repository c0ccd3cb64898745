// Every kernel text that calls need, found by planning them: the steps of a call are made on a device that
// computes nothing.
import { decodeBytes } from "../../shaders/abi.ts";
import { copyShader } from "../../shaders/kernels/elementwise.ts";
import { probeShader } from "../../shaders/kernels/probe.ts";
import { rateShader } from "../../shaders/kernels/rate.ts";
import { describeRotary } from "../../src/problem/features/apply_rotary.ts";
import { describeMerge } from "../../src/problem/merge.ts";
import { type GpuPlan, planWebGpu } from "../../src/plan/webgpu/plan.ts";
import { DocumentCall } from "../../src/webgpu/dispatch/max_sim.ts";
import { describeMaxSim, describeMaxSimBackward } from "../../src/problem/max_sim.ts";
import {
  makeInputs as makeDocuments,
  type MaxSimCase,
  nameOf as documentsName,
} from "../max_sim_cases.ts";
import { describeColumnSums, describeScores, describeTopKeys } from "../../src/problem/inside.ts";
import {
  type AttentionProblem,
  type Call,
  describeBackward,
  describeForward,
  type Views,
} from "../../src/problem/problem.ts";
import { hostResult, mergeSpecs, resultSpecs } from "../../src/problem/results.ts";
import type { HostTensor } from "../../src/tensor/tensor.ts";
import type { WebGpuTarget } from "../../src/plan/target.ts";
import type { GpuBuffer } from "../../src/webgpu/device/api.ts";
import { GpuCall } from "../../src/webgpu/dispatch/call.ts";
import { mergeSteps } from "../../src/webgpu/dispatch/merge.ts";
import { turnSteps } from "../../src/webgpu/dispatch/turn.ts";
import type { Step } from "../../src/webgpu/dispatch/dispatch.ts";
import type { Home } from "../../src/webgpu/device/tensors.ts";
import { type Case, defineCase } from "../case.ts";
import { grid } from "../grid.ts";
import { type Inputs, makeInputs } from "../inputs.ts";
import { everything } from "../selection.ts";
import { mapTuple } from "../tuples.ts";
import { cacheCalls, storeKernels } from "./caches.ts";
import { smallBindings, targetsOf } from "./targets.ts";

type Dialect = WebGpuTarget["dialect"];

/** A text to compile. */
export interface KernelText {
  readonly key: string;
  readonly code: string;
  /** The first call that needs it. */
  readonly neededBy: string;
  /** Workgroup memory as the plan counts it; undefined where no plan looks at it. */
  readonly bytes?: number | undefined;
}

/** The texts of one compiler, and what is wrong with them before any compiler sees them. */
export interface Found {
  readonly texts: readonly KernelText[];
  readonly faults: readonly string[];
}

/** Large enough for the tile that a software adapter takes for long work; the grid has no case that long. */
const longFields: readonly Partial<Case>[] = [
  {},
  { causal: true, kvHeads: 1 },
  { headDim: 40, mask: { axes: "k", pattern: "random" } },
  { headDim: 128, bias: "k" },
  { headDim: 35, softcap: 20 },
  { dtype: "f16" },
];
const longCases: readonly Case[] = longFields.map((fields) =>
  defineCase({ queryHeads: 2, lengthQ: 2500, headDim: 64, ...fields })
);

/** Long enough for products without a loop on hardware, the longest texts there are. */
const unrolledCases: readonly Case[] = [
  ...[64, 128, 256].map((headDim) => defineCase({ lengthQ: 8192, headDim })),
  defineCase({ queryHeads: 2, kvHeads: 1, lengthQ: 8192, headDim: 64, dtype: "f16", softcap: 5 }),
];

/** In f16: the tiles of hardware, and every kind of text beside them, sums of captured arrays and of heads too. */
const halfCases: readonly Case[] = [
  defineCase({ lengthQ: 8192, headDim: 64 }),
  defineCase({ lengthQ: 8192, headDim: 128 }),
  defineCase({ queryHeads: 2, kvHeads: 1, lengthQ: 90, headDim: 35, dtype: "f16", ...everything }),
  defineCase({ queryHeads: 2, kvHeads: 1, lengthQ: 90, headDim: 35, scoreMod: "bent" }),
  defineCase({ lengthQ: 90, headDim: 256, dEntropy: true, stats: true }),
  defineCase({ queryHeads: 2, lengthQ: 90, headDim: 64, alibiSlopes: "h" }),
];

/** Cut into regions on a machine of small bindings: joined over keys, over queries, in dBias. */
const windowCases: readonly Case[] = [
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 200, lengthK: 230, headDim: 32 }),
  defineCase({ queryHeads: 2, lengthQ: 90, lengthK: 130, headDim: 35, bias: "hqk", dLse: true }),
  defineCase({ queryHeads: 2, lengthQ: 1, lengthK: 700, headDim: 32, dtype: "f16" }),
  defineCase({ lengthQ: 3, lengthK: 300, headDim: 16, mask: { axes: "qk", pattern: "random" } }),
  defineCase({
    queryHeads: 2,
    lengthQ: 200,
    lengthK: 230,
    headDim: 32,
    stats: true,
    dEntropy: true,
  }),
];

/** Numbers of heads: alone and with other features, for sums over pairs and rows; f16 and odd columns. */
const headCases: readonly Case[] = [
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 40, lengthK: 50, headDim: 24 }),
  defineCase({ lengthQ: 40, lengthK: 50, headDim: 35, softcap: 4, bias: "hqk", dtype: "f16" }),
  defineCase({ queryHeads: 2, lengthQ: 2, lengthK: 700, headDim: 32, causal: true }),
];

/** Inputs of a case with every operand that follows heads. */
function headInputs(c: Case): Inputs {
  const heads = { data: new Float32Array(c.queryHeads), shape: [c.queryHeads] };
  const inputs = makeInputs(c), options = { ...inputs.options, alibiSlopes: heads, sink: heads };
  return { ...inputs, name: `${inputs.name}, numbers of heads`, options };
}

/** Inputs of a case in f16. */
export function halfInputs(c: Case): Inputs {
  const inputs = makeInputs(c);
  return {
    ...inputs,
    name: `${inputs.name}, in f16`,
    options: { ...inputs.options, precision: "f16" } as Inputs["options"],
  };
}

/** Parts of merges: every format, in fours and element by element, with columns in fours and not. */
const mergeCases: readonly Case[] = (["f32", "f16", "bf16"] as const).flatMap((dtype) => [
  defineCase({ queryHeads: 2, headDim: 16, dtype }),
  defineCase({ queryHeads: 2, headDim: 16, dtype, arrangement: "padded rows" }),
  defineCase({ queryHeads: 2, headDim: 5, dtype }),
]);

/** Looked inside of: no feature and all of them, 16 bits and odd columns. */
const insideCases: readonly Case[] = [
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 40, lengthK: 50, headDim: 24 }),
  defineCase({ lengthQ: 40, lengthK: 50, headDim: 35, dtype: "f16" }),
  defineCase({ queryHeads: 2, lengthQ: 40, lengthK: 50, headDim: 64, ...everything }),
  defineCase({ lengthQ: 2500, headDim: 64 }),
];

/** Late interaction: every format, in fours and not. */
const documentCases: readonly MaxSimCase[] = (["f32", "f16", "bf16"] as const).flatMap((dtype) => [
  { sets: 2, tokens: 32, dim: 128, lengths: [100, 0, 37], dtype },
  { sets: 0, tokens: 5, dim: 7, lengths: [3, 4], dtype },
]);

/** Every look inside a case. */
function insideCalls({ q, k, options }: Inputs, { batch, queryHeads, lengthQ }: Case): Call[] {
  const rows = batch * queryHeads * lengthQ;
  const lse = { data: new Float32Array(rows), shape: [batch, queryHeads, lengthQ] };
  return [
    describeScores(q, k, { ...options, stage: "raw" }),
    describeScores(q, k, { ...options, stage: "masked" }),
    describeScores(q, k, { ...options, stage: "probabilities", lse }),
    describeTopKeys(q, k, lse, { ...options, count: 4 }),
    describeColumnSums(q, k, lse, options),
  ];
}

/** How the key of each kernel begins: one that no case reaches must not look like one that compiles. */
const KERNELS = [
  ...["probe", "forward", "decode", "combine", "merge into", "repair out", "delta"],
  ...[
    "dq",
    "dkv kv",
    "dkv k",
    "dkv v",
    "pair sum dBias",
    "pair sum dAlibiSlopes",
    "row sum dAlibiSlopes",
    "row sum dSink",
  ],
  ...["copy", "repair dq", "repair dk", "repair dv"],
  ...["rotate q", "rotate k", "rotate dq", "rotate dk"],
  ...["add", "narrow f16", "narrow bf16", "component"],
  ...["store", "row stats", "scores", "probabilities", "column sums", "top keys", "sort keys"],
  ...["max sim", "max sim dk", "max sim dq"],
];

const buffer = { size: 2 ** 30, usage: 0, destroy() {} } as unknown as GpuBuffer;

/** Memory and queue of a device that takes everything and does nothing. */
function homeOf(target: WebGpuTarget): Home {
  return {
    open: { target, device: { queue: { writeBuffer() {} } } },
    memory: { take: () => buffer, give() {}, create: () => buffer },
  } as unknown as Home;
}

/** The steps of a call with its plan. */
export function stepsOf(
  { problem, views }: { problem: AttentionProblem; views: Views },
  target: WebGpuTarget,
): { plan: GpuPlan; steps: Step[] } {
  const plan = planWebGpu(problem, target);
  if (plan.regions.length === 0) return { plan, steps: [] };
  const made = resultSpecs(problem, views).map((spec) => ({ spec, buffer }));
  return { plan, steps: new GpuCall(homeOf(target), problem, plan, views, made).steps() };
}

/** Forward and backward of a case, described; backward on results in the form that forward gives them. */
export function callsOf(
  { q, k, v, dOut, dLse, dEntropy, options }: Inputs,
): { problem: AttentionProblem; views: Views }[] {
  const forward = describeForward(q, k, v, options);
  const results = resultSpecs(forward.problem, forward.views).map(hostResult);
  const [out, lse, entropy] = results as [HostTensor, HostTensor, HostTensor | undefined];
  const saved = { q, k, v, out, lse, stats: { entropy } };
  return [forward, describeBackward(dOut, saved, { ...options, dLse, dEntropy })];
}

/** Inputs whose operands are stored in four different formats and arrangements. */
function mixedInputs(): Inputs {
  const c = defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 40, lengthK: 50, headDim: 24 });
  const plain = makeInputs(c), padded = makeInputs({ ...c, arrangement: "padded rows" });
  const [f16, bf16] = mapTuple(["f16", "bf16"], (dtype) => makeInputs({ ...c, dtype }));
  return { ...plain, name: "operands in mixed formats", k: bf16.k, v: f16.v, dOut: padded.dOut };
}

/** How many workgroup bytes a plan expects a kernel to take. */
function plannedBytes(key: string, plan: GpuPlan): number | undefined {
  const kernel = key.split(/[ ,]/)[0]!, { decode, forward, dq, dkv, pairSum, inside } = plan;
  if (kernel === "decode") return decodeBytes(decode!);
  const tiles: Record<string, { bytes: number } | undefined> = {
    ...{ forward, dq, dkv },
    ...{ pair: pairSum, top: inside },
  };
  return tiles[kernel]?.bytes;
}

/** Collects texts by key. */
class Collection {
  readonly #texts = new Map<string, KernelText>();
  readonly faults = new Set<string>();

  get texts(): KernelText[] {
    return [...this.#texts.values()];
  }

  /** Adds a text; returns it. */
  add({ key, code: write }: Step["kernel"], neededBy: string, plan?: GpuPlan): string {
    const code = write(), known = this.#texts.get(key), bytes = plan && plannedBytes(key, plan);
    // pipelines are kept by their key alone
    if (known && known.code !== code) {
      this.faults.add(`${key}\n  is two texts, of ${known.neededBy} and of ${neededBy}`);
    }
    const least = bytes === undefined || known?.bytes === undefined
      ? bytes ?? known?.bytes
      : Math.min(bytes, known.bytes);
    this.#texts.set(key, { key, code, neededBy: known?.neededBy ?? neededBy, bytes: least });
    return code;
  }

  /** The steps of a case on a machine, which must have what they bind. */
  addCalls(inputs: Inputs, target: WebGpuTarget, calls = callsOf(inputs)): void {
    const { storageBuffers } = target.limits;
    for (const call of calls) {
      const { plan, steps } = stepsOf(call, target);
      const neededBy = `${call.problem.pass} of "${inputs.name}" on ${target.adapter}`;
      for (const { kernel } of steps) {
        const buffers = countBuffers(this.add(kernel, neededBy, plan));
        if (buffers <= storageBuffers) continue;
        this.faults.add(
          `${kernel.key}\n  binds ${buffers} storage buffers of ${storageBuffers}: ${neededBy}`,
        );
      }
    }
  }

  addMerge(c: Case, target: WebGpuTarget): void {
    const { dOut: out, name } = makeInputs(c), { batch, queryHeads, lengthQ } = c;
    const shape = [batch, queryHeads, lengthQ];
    const lse = { data: new Float32Array(batch * queryHeads * lengthQ), shape };
    const merge = describeMerge([{ out, lse }, { out, lse }], {});
    const made = mergeSpecs(merge.shape, merge.parts[0]!).map((spec) => ({ spec, buffer }));
    const steps = mergeSteps(homeOf(target), merge.parts, merge.shape, made, () => buffer);
    for (const { kernel } of steps) this.add(kernel, `merge of "${name}"`);
  }

  addDocuments(c: MaxSimCase, target: WebGpuTarget): void {
    const { queries, documents, cuSeqlens, dScores } = makeDocuments(c);
    const forward = describeMaxSim(queries, documents, { cuSeqlens });
    const results = resultSpecs(forward.problem, forward.views).map(hostResult);
    const keys = results[1] as HostTensor<Int32Array>;
    const backward = describeMaxSimBackward(dScores, { queries, documents, keys }, {});
    for (const { problem, views } of [forward, backward]) {
      const made = resultSpecs(problem, views).map((spec) => ({ spec, buffer, tensor: undefined }));
      const steps = new DocumentCall(homeOf(target), problem, views, made).steps();
      const neededBy = `${problem.pass} of "${documentsName(c)}" on ${target.adapter}`;
      for (const { kernel } of steps) this.add(kernel, neededBy);
    }
  }

  addTurns(c: Case, target: WebGpuTarget): void {
    const { q, name } = makeInputs(c);
    for (const interleaved of [false, true]) {
      const call = describeRotary(q, { dims: 4, interleaved, inverse: true });
      const steps = turnSteps(homeOf(target), call, { buffer }, () => buffer);
      for (const { kernel } of steps) this.add(kernel, `turning "${name}"`);
    }
  }
}

/** Storage buffers that a text binds. */
export function countBuffers(code: string): number {
  return code.split("var<storage").length - 1;
}

/** Everything that is compiled by one compiler. */
export function findKernels(dialect: Dialect): Found {
  const collection = new Collection(), targets = targetsOf(dialect);
  const cases = [...grid.flatMap((section) => section.cases), ...longCases];
  for (const inputs of [...cases.map(makeInputs), mixedInputs(), ...headCases.map(headInputs)]) {
    for (const target of targets) collection.addCalls(inputs, target);
  }
  const hardware = targets.filter(({ software }) => !software);
  if (hardware.length === 0) throw new Error("no target is hardware");
  for (const c of unrolledCases) {
    for (const target of hardware) collection.addCalls(makeInputs(c), target);
  }
  for (const inputs of halfCases.map(halfInputs)) {
    for (const target of targets.filter(({ shaderF16 }) => shaderF16)) {
      collection.addCalls(inputs, target);
    }
  }
  for (const c of windowCases) {
    for (const target of targets) collection.addCalls(makeInputs(c), smallBindings(target));
  }
  for (const c of insideCases) {
    const inputs = makeInputs(c);
    for (const target of targets) collection.addCalls(inputs, target, insideCalls(inputs, c));
  }
  for (const c of documentCases) {
    for (const target of targets) collection.addDocuments(c, target);
  }
  for (const { name, calls } of cacheCalls()) {
    const inputs = { ...mixedInputs(), name };
    for (const target of targets) collection.addCalls(inputs, target, [...calls]);
  }
  for (const kernel of storeKernels()) collection.add(kernel, "rows that enter a cache");
  for (const c of mergeCases) {
    collection.addMerge(c, targets[0]!);
    collection.addTurns(c, targets[0]!);
  }
  collection.add({ key: "copy", code: copyShader }, "resident numbers of heads");
  collection.add({ key: "probe", code: () => probeShader(64) }, "every device");
  collection.add({ key: "rate", code: rateShader }, "hardware");
  const { texts, faults } = collection;
  for (const kernel of KERNELS) {
    if (texts.some(({ key }) => `${key},`.match(`^${kernel}[ ,]`))) continue;
    faults.add(`${kernel}\n  is needed by no case`);
  }
  return { texts, faults: [...faults] };
}
