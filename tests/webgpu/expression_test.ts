/** Expressions as WGSL against their float64 values: every operation, on one value and on four at once. */

import assert from "node:assert/strict";
import { Emitter, neededTexts, noNeeds } from "../../shaders/expression/emit.ts";
import { type Term, widened, type Width } from "../../shaders/expression/terms.ts";
import { evaluator } from "../../src/expression/evaluate.ts";
import { apply, constant, symbol, Trace } from "../../src/expression/graph.ts";
import type { Node } from "../../src/expression/node.ts";
import { type OperationName, OPERATIONS } from "../../src/expression/operations.ts";
import { type GpuDevice, MAP_READ, USAGE } from "../../src/webgpu/device/api.ts";
import { randomNumbers } from "../random.ts";
import { callersDevice, gpuTest } from "./support.ts";

const place = { batch: 0, head: 0, kvHead: 0, lengthQ: 1, lengthK: 1, offset: 0 };

/** Sums of the largest and smallest integers wrap, and they have a quotient beyond 32 bits. */
const LEAST = -(2 ** 31), MOST = 2 ** 31 - 1;

/** Inputs: a float and two integers. */
interface Input {
  readonly x: number;
  readonly i: number;
  readonly j: number;
}

function inputs(): Input[] {
  const random = randomNumbers(5), sizes = [0.01, 0.3, 1, 3, 30, 90];
  const floats = [
    ...[0, -0, 1, -1, 0.5, 1e-30, -1e-30, 1e30, Infinity, -Infinity, 0.625, 0.6249, 88, -87, -100],
    ...[Math.PI, 7000, -7000, 1e-20, 3e38],
    ...Array.from({ length: 300 }, (_, n) => (2 * random() - 1) * sizes[n % sizes.length]!),
  ];
  const ints = [0, 1, -1, 2, -7, 8, 100, LEAST, MOST, -65536, 46341];
  return floats.map((x, n) => ({
    x: Math.fround(x),
    i: ints[n % ints.length]!,
    j: ints[Math.floor(n / ints.length) % ints.length]!,
  }));
}

/** An expression with the error that it may have. */
interface Subject {
  readonly name: string;
  readonly root: Node;
  /** Units of the last place of f32; of 1 where the result is smaller. Without: exactly. */
  readonly ulps?: number;
  /** Inputs that the bound is for. */
  readonly domain?: (x: number) => boolean;
}

const ULPS: Readonly<Partial<Record<OperationName, number>>> = {
  ...{ exp: 3, log: 3, tanh: 3, sigmoid: 4, div: 3, sqrt: 4 },
};

/** Every signature of every operation, on symbols, and what has forms of its own. */
function subjects(): Subject[] {
  return new Trace().run(() => {
    const x = symbol("score"), i = symbol("query"), j = symbol("key");
    const small = apply("min", [apply("max", [j, -1000]), 1000]);
    const y = apply("mul", [apply("toFloat", [small]), 0.25]); // exact in f32 too
    const floats = [x, y, x], ints = [i, j, i], bools = [apply("lt", [i, j]), apply("gt", [x, 0])];
    const operand = (type: string, n: number) =>
      type === "float" ? floats[n]! : type === "int" ? ints[n]! : bools[n % 2]!;
    const all = (Object.keys(OPERATIONS) as OperationName[]).filter((name) =>
      !["pow", "sin", "cos"].includes(name)
    ).flatMap((name) =>
      OPERATIONS[name].map(({ operands }): Subject => {
        const given = operands.map(operand), ulps = ULPS[name];
        const label = `${name} of ${operands}`;
        return { name: label, root: apply(name, given), ...(ulps && { ulps }) };
      })
    );
    const powers = [2, 3, -1, 0.5, -0.5, 8].map((n): Subject => ({
      name: `pow ${n}`,
      root: apply("pow", [x, n]),
      ulps: 6,
      domain: (x) => !Object.is(x, -0) && x !== -Infinity, // square roots differ there
    }));
    const general = [1.5, -2.25, 9].map((n): Subject => ({
      name: `pow ${n}`,
      root: apply("pow", [x, n]),
      ulps: 64, // the logarithm's error times the exponent
      domain: (x) => Math.abs(x) > 0.01 && Math.abs(x) < 30,
    }));
    const waves = (["sin", "cos"] as const).map((name): Subject => ({
      name,
      root: apply(name, [x]),
      ulps: 2, // of 1: near the zeros of a wave the error is absolute
      domain: (x) => Math.abs(x) <= 1e4,
    }));
    const infinite = constant(-Infinity, "float");
    return [
      ...[...all, ...powers, ...general, ...waves],
      { name: "minus infinity", root: apply("where", [bools[0]!, x, infinite]) },
      { name: "a scalar beside", root: apply("add", [apply("toFloat", [j]), x]) },
    ];
  });
}

/** WGSL that computes a subject for all inputs, `width` at a time; a scalar `key` where the width is four. */
function kernel(root: Node, width: Width, count: number): string {
  const needs = noNeeds();
  const names: Readonly<Record<string, Term>> = {
    score: { text: "x", width },
    query: { text: "i", width },
    key: { text: "j", width },
  };
  const symbolTerm = (name: string) => names[name]!;
  const scope = { stem: "t", given: new Map(), symbol: symbolTerm, captured: () => "0u" };
  const emitter = new Emitter(scope, needs), result = emitter.term(root);
  const values = widened(result, root.type, width);
  const lanes = width === 4 ? [".x", ".y", ".z", ".w"] : [""];
  const read = (type: string, at: number) => {
    const one = (n: number) => `bitcast<${type}>(data[at + ${n + at * count}u])`;
    return width === 1 ? one(0) : `vec4<${type}>(${lanes.map((_, n) => one(n)).join(", ")})`;
  };
  const word = { float: "bitcast<u32>(r", int: "bitcast<u32>(r", bool: "u32(r" }[root.type];
  return `struct Params { neg_inf: f32, words: f32 };
@group(0) @binding(0) var<storage, read> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;
@group(0) @binding(2) var<uniform> U: Params;
${neededTexts("t", needs).join("\n")}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let at = id.x * ${width}u;
  if (at >= ${count}u) { return; }
  let x = ${read("f32", 0)}; let i = ${read("i32", 1)}; let j = ${read("i32", 2)};
${emitter.lines.join("\n")}
  let r = ${values};
${lanes.map((lane, n) => `  result[at + ${n}u] = ${word}${lane});`).join("\n")}
}`;
}

/** Runs a kernel over the words of the inputs. */
async function run(device: GpuDevice, code: string, words: Uint32Array<ArrayBuffer>, n: number) {
  device.pushErrorScope("validation");
  const make = (bytes: number, usage: number) => device.createBuffer({ size: bytes, usage });
  const data = make(words.byteLength, USAGE.storage | USAGE.copyTarget);
  const params = make(16, USAGE.uniform | USAGE.copyTarget);
  const result = make(n * 4, USAGE.storage | USAGE.copySource);
  const staging = make(n * 4, USAGE.mapRead | USAGE.copyTarget);
  device.queue.writeBuffer(data, 0, words);
  device.queue.writeBuffer(params, 0, Float32Array.of(-Infinity, 0, 0, 0));
  const module = device.createShaderModule({ code });
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module, entryPoint: "main" },
  }) as { getBindGroupLayout(index: number): object };
  const used = [data, result, ...(code.includes("U.") ? [params] : [])];
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: used.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(Math.ceil(n / 64));
  pass.end();
  encoder.copyBufferToBuffer(result, 0, staging, 0, n * 4);
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  assert.equal(error?.message, undefined, code);
  await staging.mapAsync(MAP_READ);
  const got = staging.getMappedRange().slice(0);
  staging.unmap();
  for (const buffer of [data, params, result, staging]) buffer.destroy();
  return got;
}

/** Whether a float is near enough to the one that was wanted; below f32's normal range it may be 0. */
function near(got: number, exact: number, ulps: number): boolean {
  const want = Math.fround(exact);
  if (Object.is(got, want) || got === want) return true;
  if (Number.isNaN(want) || !Number.isFinite(want)) return false;
  const size = Math.max(Math.abs(exact), 2 ** -126);
  return Math.abs(got - exact) <= ulps * 2 ** -23 * size + 2 ** -126;
}

gpuTest("every operation on a GPU has its float64 value", async (t) => {
  const device = await callersDevice(), all = inputs(), n = all.length;
  const words = new Uint32Array(3 * n), floats = new Float32Array(words.buffer);
  all.forEach(({ x, i, j }, at) => {
    floats[at] = x;
    words[n + at] = i >>> 0;
    words[2 * n + at] = j >>> 0;
  });
  assert.equal(n % 4, 0);
  for (const { name, root, ulps = 1, domain = () => true } of subjects()) {
    await t.step(name, async () => {
      const exact = evaluator([root], place), wave = root.op === "sin" || root.op === "cos";
      for (const width of [1, 4] as const) {
        const bytes = await run(device, kernel(root, width, n), words, n);
        const got = root.type === "float" ? new Float32Array(bytes) : new Int32Array(bytes);
        all.forEach(({ x, i, j }, at) => {
          if (!domain(x)) return;
          const want = exact(x, i, j)[0]!;
          const right = root.type !== "float"
            ? got[at] === want
            : wave
            ? Math.abs(got[at]! - want) <= ulps * 2 ** -23
            : near(got[at]!, want, ulps);
          assert.ok(right, `${name} of ${x}, ${i}, ${j} (width ${width}): ${got[at]}, not ${want}`);
        });
      }
    });
  }
  device.destroy();
}, { part: "rest" });
