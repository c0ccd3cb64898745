// The page: calls the library as any page would, on SwiftShader and in WASM, and sends what it found to the server.
import { createEngine, type Engine } from "../../mod.ts";
import { hostSession } from "../backends.ts";
import { type Case, caseName, defineCase } from "../case.ts";
import { decode, halfUlp } from "../half.ts";
import { type Inputs, makeInputs } from "../inputs.ts";
import type { TestTensor } from "../reference/problem.ts";
import { check, ok, send } from "./checks.ts";
import { mapTuple } from "../tuples.ts";

/** Largest difference that is accepted, as a share of the largest value. */
const TOLERANCE = 1e-5;

/** The largest difference of two tensors, as a share of the largest value; throws where it is too large. */
function compare(name: string, got: TestTensor, want: TestTensor): number {
  const [a, b] = mapTuple([got, want], ({ data, dtype }) => decode(data, dtype ?? "f32"));
  ok(`${got.shape}` === `${want.shape}`, `${name} has shape ${got.shape}, wanted ${want.shape}`);
  ok(a.length === b.length, `${name} has ${a.length} elements, wanted ${b.length}`);
  const largest = b.reduce((max, x) => Number.isFinite(x) ? Math.max(max, Math.abs(x)) : max, 0);
  ok(largest > 0, `${name} is all zero`);
  // two roundings to 16 bits may go two ways
  const dtype = want.dtype ?? "f32", rounding = dtype === "f32" ? 0 : 2 * halfUlp[dtype];
  let worst = 0;
  b.forEach((x, n) => {
    if (Object.is(a[n], x)) return;
    const error = Math.abs(a[n]! - x);
    const near = error <= TOLERANCE * largest + rounding * Math.abs(x); // NaN is not
    ok(near, `${name}[${n}] is ${a[n]}, wanted ${x}; the largest value is ${largest}`);
    worst = Math.max(worst, error / largest);
  });
  return worst;
}

function compareAll(got: object, want: object): string {
  const results: Readonly<Record<string, TestTensor>> = { ...got };
  const worst = Object.entries<TestTensor>({ ...want })
    .map(([name, tensor]) => compare(name, results[name]!, tensor));
  return `largest difference ${Math.max(...worst).toExponential(1)}`;
}

const grouped = { batch: 2, queryHeads: 4, kvHeads: 2, headDim: 40 } as const;

/** Few kernels: SwiftShader compiles each for seconds. */
const forwardCases: readonly Case[] = [
  defineCase({ ...grouped, lengthQ: 70, lengthK: 131, causal: true }),
  defineCase({ queryHeads: 8, kvHeads: 1, lengthQ: 1, lengthK: 600, headDim: 32, causal: true }),
  defineCase({ ...grouped, lengthQ: 33, lengthK: 50, headDim: 35, dtype: "f16" }),
];

/** Also with bias, the kernel with the most storage buffers. */
const bothCase = defineCase({
  ...{ ...grouped, lengthQ: 45, lengthK: 70, bias: "1hqk", biasHoles: true },
  mask: { axes: "b11k", pattern: "padding" },
});

async function gpuEngine(): Promise<Engine> {
  const engine = await createEngine({ backend: "webgpu", allowFallbackAdapter: true, debug: true });
  (engine.device as unknown as EventTarget).addEventListener("uncapturederror", (event) => {
    const { error } = event as unknown as { error: { message: string } };
    uncaptured.push(error.message);
  });
  return engine;
}

const uncaptured: string[] = [];

/** Host tensors of the first case, and what they give. */
function first(wasm: Engine) {
  const inputs = makeInputs(forwardCases[0]!);
  const { q, k, v, options } = inputs;
  return { inputs, run: () => wasm.attention(q, k, v, options) };
}

async function checkForward(gpu: Engine, wasm: Engine, inputs: Inputs): Promise<string> {
  return compareAll(
    await hostSession(gpu).forward(inputs),
    await hostSession(wasm).forward(inputs),
  );
}

async function checkBoth(gpu: Engine, wasm: Engine, inputs: Inputs): Promise<string> {
  const [onGpu, onCpu] = mapTuple([gpu, wasm], hostSession);
  const saved = await onCpu.forward(inputs);
  compareAll(await onGpu.forward(inputs), saved);
  return compareAll(await onGpu.backward(inputs, saved), await onCpu.backward(inputs, saved));
}

/** "auto" must not take a software adapter, and must say so. */
async function checkAuto(): Promise<string> {
  const engine = await createEngine({ backend: "auto" });
  const { backend, reason } = engine;
  engine.dispose();
  ok(backend === "wasm", `the backend is ${backend}`);
  ok(/software/i.test(reason) && /adapter/i.test(reason), `the reason is "${reason}"`);
  return reason;
}

/** Values in a buffer of the page, a result that joins a pass of the page. */
async function checkEncode(gpu: Engine, wasm: Engine): Promise<string> {
  const { inputs: { q, k, v, options }, run } = first(wasm);
  const device = gpu.device as unknown as GPUDevice, offset = 256;
  const { STORAGE, COPY_DST, COPY_SRC } = GPUBufferUsage;
  const buffer = device.createBuffer({
    size: offset + q.data.byteLength,
    usage: STORAGE | COPY_DST | COPY_SRC,
  });
  device.queue.writeBuffer(buffer, offset, q.data as Float32Array<ArrayBuffer>);
  using wrapped = gpu.wrap(buffer, q.shape, { byteOffset: offset });
  const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
  const { out, lse } = gpu.encode(pass, wrapped, k, v, options);
  pass.end();
  device.queue.submit([encoder.finish()]);
  const got = {
    out: { data: await out.read() as Float32Array, shape: out.shape },
    lse: { data: await lse.read() as Float32Array, shape: lse.shape },
  };
  const untouched = new Float32Array(await wrapped.read());
  ok(untouched.every((x, n) => x === q.data[n]), "the page's own buffer was written");
  out.dispose();
  lse.dispose();
  buffer.destroy();
  return compareAll(got, await run());
}

/** A device that goes away: the call is computed all the same, on another. */
async function checkLoss(gpu: Engine, wasm: Engine, when: "before" | "during"): Promise<string> {
  const { inputs: { q, k, v, options }, run } = first(wasm);
  const device = gpu.device!;
  if (when === "before") device.destroy();
  const pending = gpu.attention(q, k, v, options);
  if (when === "during") {
    // far enough for the call to wait on the device
    await new Promise((resolve) => setTimeout(resolve));
    device.destroy();
  }
  const { recovered, ...got } = await pending;
  const text = compareAll(got, await run());
  ok(recovered === "webgpu", `recovered is ${recovered}`);
  ok(gpu.device !== undefined && gpu.device !== device, "the engine has no other device");
  const again = await gpu.attention(q, k, v, options);
  compareAll(again, await run());
  ok(again.recovered === undefined, "the next call says that it recovered");
  return text;
}

async function main(): Promise<void> {
  await check("the page", () => {
    const { crossOriginIsolated } = globalThis as { crossOriginIsolated?: boolean };
    ok(crossOriginIsolated === true, "the page is not cross-origin isolated");
    ok("gpu" in navigator, "the page has no WebGPU");
    return Promise.resolve(`${navigator.userAgent}`);
  });
  await check(`engine "auto"`, checkAuto);
  const engines: Engine[] = [];
  await check("engines", async () => {
    engines.push(await gpuEngine(), await createEngine({ backend: "wasm", threads: 2 }));
    ok(engines[0]!.backend === "webgpu", `the backend is ${engines[0]!.backend}`);
    return engines.map(({ reason }) => reason).join("; ");
  });
  const [gpu, wasm] = engines;
  if (!gpu || !wasm) return;
  for (const c of forwardCases) {
    await check(`forward, ${caseName(c)}`, () => checkForward(gpu, wasm, makeInputs(c)));
  }
  await check(
    `forward and backward, ${caseName(bothCase)}`,
    () => checkBoth(gpu, wasm, makeInputs(bothCase)),
  );
  await check("encode into a pass of the page, q in its buffer", () => checkEncode(gpu, wasm));
  await check("a device destroyed before a call", () => checkLoss(gpu, wasm, "before"));
  await check("a device destroyed during a call", () => checkLoss(gpu, wasm, "during"));
  await check("no uncaptured GPU error", () => {
    ok(uncaptured.length === 0, uncaptured.join("\n"));
    return Promise.resolve("none");
  });
  for (const engine of engines) engine.dispose();
}

await main();
await send("/done", {});
