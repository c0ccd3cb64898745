/** Hosts without a GPU, with one that computes on the CPU, with one that lies: the documented engine and the reason. */

import assert from "node:assert/strict";
import { createEngine, type EngineOptions, UnsupportedError } from "../../mod.ts";
import type { GpuDevice } from "../../src/webgpu/device/api.ts";
import { plainTensor } from "../inputs.ts";
import { absent, callersDevice, gpuTest, software } from "./support.ts";

const x = plainTensor(1, [1, 20, 2, 32]);

/** What an engine with these options says, and that it computes. */
async function told(options: EngineOptions): Promise<{ backend: string; reason: string }> {
  using engine = await createEngine(options);
  const { out } = await engine.attention(x, x, x);
  assert.deepEqual(out.shape, x.shape);
  const { backend, reason, target, device } = engine;
  assert.equal(target.backend, backend);
  assert.equal(device === undefined, backend === "wasm");
  return { backend, reason };
}

/** The error of options that cannot be met, and what it names. */
async function assertRefused(options: EngineOptions, why: RegExp): Promise<void> {
  await assert.rejects(createEngine(options), (error: UnsupportedError) => {
    assert.ok(error instanceof UnsupportedError, Deno.inspect(error));
    assert.equal(error.backend, "webgpu");
    assert.match(error.message, why);
    assert.match(error.remedy, /use "auto" or "wasm"/);
    return true;
  });
}

// --- whole processes: what a host has cannot be changed from inside -----------------------------------

const deno = [Deno.execPath(), "deno"]
  .find((command) => Deno.permissions.querySync({ name: "run", command }).state === "granted");
const root = new URL("../../", import.meta.url);

/** What a script says, run with no permission; one that does not end within 30 seconds is killed. */
async function runScript(source: string, env: Record<string, string>): Promise<unknown> {
  const child = new Deno.Command(deno!, {
    args: ["run", "--quiet", "--no-prompt", "-"],
    cwd: root.pathname,
    env,
    ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(source));
  await writer.close();
  const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Every way to ask for an engine, after `change` was done to the host. */
const asking = (change: string) => `
import { attention, createEngine } from "./mod.ts";
${change}
const x = { data: new Float32Array(800 * 64 * 4).fill(1), shape: [1, 800, 4, 64] };
const told = {};
for (const options of [{}, { backend: "auto", allowFallbackAdapter: true }, { backend: "webgpu" }]) {
  const key = JSON.stringify(options);
  try {
    const engine = await createEngine(options);
    const { out } = await engine.attention(x, x, x);
    told[key] = [engine.backend, engine.reason, Math.round(out.data[0] * 1e5) / 1e5, engine.explain(x, x, x).backend];
    engine.dispose();
  } catch (error) {
    told[key] = [error.name, error.message, error.backend];
  }
}
told.default = Math.round((await attention(x, x, x)).out.data[0] * 1e5) / 1e5; // long enough to look for a GPU
console.log(JSON.stringify(told));
`;

const hosts = [
  {
    about: "no adapter",
    change: "",
    env: { DENO_WEBGPU_BACKEND: "vulkan", VK_ICD_FILENAMES: "/nonexistent.json" },
    reason: "there is no adapter",
  },
  {
    about: "no WebGPU",
    change: `Object.defineProperty(navigator, "gpu", { value: undefined });`,
    env: {},
    reason: "this host has no WebGPU",
  },
  {
    about: "an insecure context",
    change: `Object.defineProperty(navigator, "gpu", { value: undefined });
globalThis.isSecureContext = false;`,
    env: {},
    reason: "this host has no WebGPU: the context is not secure",
  },
  {
    about: "an adapter that gives no device",
    change: `navigator.gpu.requestAdapter = () => Promise.resolve({
  features: new Set(), limits: {}, info: { description: "a wall" },
  requestDevice: () => Promise.reject(new Error("not today")),
});`,
    env: {},
    reason: "the adapter gave no device: not today",
  },
] as const;

for (const { about, change, env, reason } of hosts) {
  Deno.test({
    name: `${about}: auto computes in WASM and says why, webgpu is refused` +
      (deno ? "" : " (left out: needs --allow-run)"),
    ignore: deno === undefined,
    async fn() {
      const told = await runScript(asking(change), env) as Record<string, unknown[]>;
      for (const options of ["{}", `{"backend":"auto","allowFallbackAdapter":true}`]) {
        const [backend, why, value, explained] = told[options]!;
        assert.deepEqual([backend, value, explained], ["wasm", 1, "wasm"], Deno.inspect(told));
        assert.match(why as string, /^WASM with (relaxed|plain) SIMD/);
        assert.ok((why as string).includes(`(${reason})`), why as string);
      }
      const [name, message, backend] = told[`{"backend":"webgpu"}`]!;
      assert.deepEqual([name, backend], ["UnsupportedError", "webgpu"]);
      assert.ok((message as string).includes(reason), message as string);
      assert.equal(told.default, 1);
    },
  });
}

// --- adapters that are there ---------------------------------------------------------------------------

const hardware = absent ?? (software ? undefined : "the GPU is no software adapter");

gpuTest("a software adapter is taken only when it is asked for, and never by auto", async () => {
  for (const options of [{}, { allowFallbackAdapter: true }, { allowFallbackAdapter: false }]) {
    const { backend, reason } = await told(options);
    assert.equal(backend, "wasm");
    assert.match(reason, /\(the only adapter is software \(.+\)\)/);
  }
  await assertRefused({ backend: "webgpu" }, /the only adapter is software \(.+\)/);
  const taken = await told({ backend: "webgpu", allowFallbackAdapter: true });
  assert.equal(taken.backend, "webgpu");
  assert.match(taken.reason, /^WebGPU on .+, in software \(asked for\)$/);
}, { lacks: hardware });

gpuTest("a caller's device is taken whatever it is, and stays the caller's", async () => {
  const device = await callersDevice();
  let gone = false;
  device.lost.then(() => gone = true);
  for (const backend of ["auto", "webgpu"] as const) {
    const { reason } = await told({ backend, device });
    assert.match(reason, /^WebGPU on .+ \(device was given\)$/);
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(gone, false, "disposing of an engine does not destroy a caller's device");
  device.destroy();
});

gpuTest("a device that is gone already is refused with the reason", async () => {
  const device = await callersDevice();
  device.destroy();
  await device.lost;
  await assertRefused({ backend: "webgpu", device }, /a test kernel failed|lost|destroyed/);
  const { backend, reason } = await told({ device });
  assert.equal(backend, "wasm");
  assert.match(reason, /a test kernel failed|lost|destroyed/);
});

/** A device whose compiler changes shaders: what a broken driver does. */
async function lyingDevice(change: (code: string) => string): Promise<GpuDevice> {
  const device = await callersDevice(), make = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) =>
    make({ ...descriptor, code: change(descriptor.code) });
  return device;
}

gpuTest("a device whose numbers are wrong is not trusted", async () => {
  const lies = [
    (code: string) => code.replaceAll("exp2(", "sin("),
    (code: string) => code.replace(/@workgroup_size\(\d+\)/, "@workgroup_size(1)"),
  ];
  for (const lie of lies) {
    const device = await lyingDevice(lie);
    await assertRefused(
      { backend: "webgpu", device },
      /a test kernel failed: element \d+ is .+ but/,
    );
    const { backend, reason } = await told({ device });
    assert.equal(backend, "wasm");
    assert.match(reason, /a test kernel failed: element \d+ is/);
    device.destroy();
  }
});

gpuTest("a device that takes no shader is not trusted", async () => {
  const device = await lyingDevice((code) => `${code}\nnonsense`);
  await assertRefused({ backend: "webgpu", device }, /a test kernel failed: /);
  device.destroy();
});

gpuTest("options about devices that make no sense are refused", async () => {
  const device = await callersDevice();
  await assert.rejects(createEngine({ backend: "wasm", device }), /device was given.*"wasm"/);
  for (const nothing of [{}, null, "a device", 3]) {
    const options = { device: nothing } as unknown as EngineOptions;
    await assert.rejects(createEngine(options), /TypeError.*device is .* must be a GPUDevice/);
  }
  for (const name of ["debug", "allowFallbackAdapter"]) {
    await assert.rejects(createEngine({ [name]: 1 }), new RegExp(`${name} is 1 but must be true`));
  }
  device.destroy();
});
