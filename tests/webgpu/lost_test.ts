/** Devices that go away, while idle and in the middle of calls: what is redone, what rejects, and that it goes on. */

import assert from "node:assert/strict";
import {
  type AttentionOptions,
  type AttentionResult,
  DeviceLostError,
  type Engine,
  type HostTensor,
  type Tensor,
} from "../../mod.ts";
import { plainTensor } from "../inputs.ts";
import type { TestTensor } from "../reference/problem.ts";
import { absent, callersDevice, deviceOf, gpuEngine, gpuTest, sleep, software } from "./support.ts";
import { mapTuple } from "../tuples.ts";

/** A call with what WASM computes for it. */
interface Call {
  readonly q: TestTensor;
  readonly k: TestTensor;
  readonly options: AttentionOptions;
  want(engine: Engine): AttentionResult<HostTensor>;
}

function makeCall(length: number, heads: number, options: AttentionOptions = {}): Call {
  const shape = [1, length, heads, 32];
  const [q, k] = [plainTensor(length, shape), plainTensor(length + 1, shape)];
  let want: AttentionResult<HostTensor> | undefined;
  return { q, k, options, want: (engine) => want ??= engine.attentionSync(q, k, k, options) };
}

const small = makeCall(50, 2, { causal: true });
/** Three submissions on a software adapter. */
const long = makeCall(3000, 8);

const forward = (engine: Engine, { q, k, options }: Call) => engine.attention(q, k, k, options);

function backward(engine: Engine, call: Call) {
  const { q, k, options } = call, saved = { q, k, v: k, ...call.want(engine) };
  return engine.attentionBackward(q, saved, options);
}

function close(got: object, want: object, names: readonly string[]): void {
  for (const name of names) {
    const [a, b] = mapTuple([got, want], (x) => (x as Record<string, HostTensor>)[name]!.data);
    assert.equal(a.length, b.length);
    let worst = 0;
    for (let n = 0; n < a.length; n++) worst = Math.max(worst, Math.abs(a[n]! - b[n]!));
    assert.ok(worst < 2e-5, `${name} is off by ${worst}`);
  }
}

/** The results of a call are those of WASM, and tell where they were computed again. */
function checkForward(
  engine: Engine,
  call: Call,
  got: AttentionResult,
  recovered: "webgpu" | "wasm" | undefined,
): void {
  assert.equal(got.recovered, recovered);
  close(got, call.want(engine), ["out", "lse"]);
}

/** Waits until the next device is there. */
async function renewed(engine: Engine): Promise<void> {
  for (let n = 0; n < 300 && engine.backend !== "webgpu"; n++) await sleep(10);
}

/** The engine computes on the GPU as if nothing had been, at the latest when the next device is there. */
async function checkWell(engine: Engine): Promise<void> {
  await renewed(engine);
  assert.equal(engine.backend, "webgpu");
  assert.match(engine.reason, /^WebGPU on /);
  checkForward(engine, small, await forward(engine, small), undefined);
  const { q, k } = small, { used } = engine.memory;
  using rq = engine.tensor(q.data, q.shape);
  assert.deepEqual(await rq.read(), q.data);
  const { out, lse } = await engine.attention(rq, k, k, small.options);
  const host = { data: await out.read(), shape: out.shape };
  close({ out: host }, small.want(engine), ["out"]);
  for (const tensor of [out, lse, rq]) tensor.dispose();
  assert.equal(engine.memory.used, used);
}

const lostError = (error: unknown) =>
  error instanceof DeviceLostError && error.reason !== "" && /the GPU was lost/.test(error.message);

gpuTest(
  "lost while idle: tensors of the device are gone, the next calls and tensors are not",
  async () => {
    using engine = await gpuEngine();
    const { q, k } = small, resident = engine.tensor(q.data, q.shape), device = deviceOf(engine);
    device.destroy();
    await device.lost;
    const got = await forward(engine, small);
    close(got, small.want(engine), ["out", "lse"]);
    // who computed is not hidden: the next device, or WASM, and then the result says so
    assert.ok(got.recovered === "wasm" || engine.backend === "webgpu", engine.reason);
    await assert.rejects(() => engine.attention(resident, k, k), lostError);
    await assert.rejects(() => resident.read(), lostError);
    assert.throws(() => resident.write(q.data), lostError);
    assert.throws(() => engine.attentionSync(resident, k, k), lostError);
    assert.throws(() => engine.explain(resident, k, k), lostError);
    resident.dispose();
    await checkWell(engine);
    assert.notEqual(engine.device, device);
  },
);

gpuTest("a call in the moment of the loss computes on the GPU all the same", async () => {
  using engine = await gpuEngine();
  for (let wait = 0; wait < 4; wait++) {
    deviceOf(engine).destroy();
    for (let n = 0; n < wait; n++) await Promise.resolve();
    const got = await forward(engine, small);
    close(got, small.want(engine), ["out", "lse"]);
    assert.ok(engine.backend === "webgpu", `after ${wait} turns: ${engine.reason}`);
    await checkWell(engine);
  }
});

gpuTest("a tensor made right after a loss and one made later meet in a call", async () => {
  using engine = await gpuEngine();
  const { q, k } = small, device = deviceOf(engine);
  device.destroy();
  await device.lost;
  let early: Tensor;
  try {
    early = engine.tensor(q.data, q.shape);
  } catch (error) {
    assert.ok(lostError(error)); // there is no device yet, and the caller is told
    return;
  }
  await renewed(engine);
  using late = engine.tensor(k.data, k.shape);
  const { out } = await engine.attention(early, late, late, small.options);
  close({ out: { data: await out.read() } }, small.want(engine), ["out"]);
});

gpuTest(
  "lost right after a call began: host inputs are computed again, and the result says so",
  async () => {
    using engine = await gpuEngine();
    await forward(engine, small);
    for (let repeat = 0; repeat < 3; repeat++) {
      const call = forward(engine, small);
      deviceOf(engine).destroy();
      checkForward(engine, small, await call, "webgpu");
      const back = backward(engine, small);
      deviceOf(engine).destroy();
      const got = await back;
      assert.equal(got.recovered, "webgpu");
      const { q, k, options } = small, saved = { q, k, v: k, ...small.want(engine) };
      close(got, engine.attentionBackwardSync(q, saved, options), ["dq", "dk", "dv"]);
      // a destination on the host gets what is computed again
      const want = small.want(engine),
        out = { ...want.out, data: new Float32Array(want.out.data.length) };
      const placed = engine.attention(q, k, k, { ...options, into: { out } });
      deviceOf(engine).destroy();
      checkForward(engine, small, await placed, "webgpu");
      assert.equal((await placed).out, out);
    }
    await checkWell(engine);
  },
);

gpuTest(
  "calls that lose the device together are all computed again, and others go on",
  async () => {
    using engine = await gpuEngine();
    const calls = [small, makeCall(40, 2), makeCall(33, 2), makeCall(70, 2)];
    const running = calls.map((call) => forward(engine, call));
    deviceOf(engine).destroy();
    const later = forward(engine, small);
    for (const [n, got] of (await Promise.all(running)).entries()) {
      checkForward(engine, calls[n]!, got, "webgpu");
    }
    close(await later, small.want(engine), ["out", "lse"]);
    await checkWell(engine);
  },
);

gpuTest("lost in the middle of a long call: computed again on another device", async () => {
  using engine = await gpuEngine({ debug: false });
  long.want(engine);
  for (const ms of [1, 300]) {
    const device = deviceOf(engine), call = forward(engine, long);
    setTimeout(() => device.destroy(), ms);
    checkForward(engine, long, await call, "webgpu");
  }
  await checkWell(engine);
}, {
  lacks: absent ?? (software ? undefined : "a hardware GPU may be done before the loss"),
  part: "rest",
});

gpuTest("lost in the middle of a long call that is checked for errors: the same", async () => {
  using engine = await gpuEngine({ debug: true });
  const device = deviceOf(engine), call = forward(engine, long);
  setTimeout(() => device.destroy(), 100);
  checkForward(engine, long, await call, "webgpu");
  await checkWell(engine);
}, {
  lacks: absent ?? (software ? undefined : "a hardware GPU may be done before the loss"),
  part: "rest",
});

gpuTest("lost during a call on resident tensors: rejects, and the engine goes on", async () => {
  using engine = await gpuEngine();
  const { q, k, options } = small;
  for (const [on, at] of [["q", 0], ["k", 0], ["q", 5]] as const) {
    const resident = engine.tensor((on === "q" ? q : k).data, q.shape);
    const call = on === "q"
      ? engine.attention(resident, k, k, options)
      : engine.attention(q, resident, k, options);
    if (at > 0) await sleep(at);
    deviceOf(engine).destroy();
    // resident results need no wait, so a call may be done before the loss; what it made is gone then
    const failed = call.then(({ out }) => "read" in out ? out.read() : undefined);
    await assert.rejects(failed, lostError);
    resident.dispose();
    await checkWell(engine);
  }
});

gpuTest("lost while a tensor is read: rejects", async () => {
  using engine = await gpuEngine();
  const resident = engine.tensor(small.q.data, small.q.shape), reading = resident.read();
  deviceOf(engine).destroy();
  await assert.rejects(reading, lostError);
  await checkWell(engine);
});

gpuTest("waiting for an engine whose device goes away ends", async () => {
  using engine = await gpuEngine();
  const call = forward(engine, small), waiting = engine.synchronize();
  deviceOf(engine).destroy();
  await Promise.race([
    waiting.catch((error) => assert.ok(lostError(error))),
    sleep(5000).then(() => assert.fail("synchronize did not end")),
  ]);
  checkForward(engine, small, await call, "webgpu");
});

gpuTest("the loss of a caller's device: calls are computed in WASM from then on", async () => {
  for (const backend of ["auto", "webgpu"] as const) {
    const device = await callersDevice();
    using engine = await gpuEngine({ backend: "webgpu", device });
    const resident = engine.tensor(small.q.data, small.q.shape);
    const call = forward(engine, small);
    device.destroy();
    checkForward(engine, small, await call, "wasm");
    assert.equal(engine.backend, "wasm", backend);
    assert.match(engine.reason, /WASM.*\(the GPU was lost: .+\)/);
    assert.equal(engine.device, undefined);
    checkForward(engine, small, await forward(engine, small), undefined);
    await assert.rejects(() => engine.attention(resident, small.k, small.k), lostError);
    const fresh = engine.tensor(small.q.data, small.q.shape);
    const { out } = await engine.attention(fresh, small.k, small.k, small.options);
    close({ out: { data: await out.read() } }, small.want(engine), ["out"]);
    await engine.synchronize();
  }
});

gpuTest("an engine whose device went away can be disposed of in any state", async () => {
  for (const ms of [0, 5, 200]) {
    const engine = await gpuEngine(), call = forward(engine, small);
    deviceOf(engine).destroy();
    if (ms > 0) await sleep(ms);
    engine.dispose();
    await Promise.race([
      call.then((got) => close(got, small.want(engine), ["out"]), () => {}),
      sleep(5000).then(() => assert.fail("the call did not end")),
    ]).catch((error) => {
      if (!/disposed/.test(`${error}`)) throw error; // want() on a disposed engine
    });
    await assert.rejects(() => forward(engine, small), /engine was disposed/);
  }
});
