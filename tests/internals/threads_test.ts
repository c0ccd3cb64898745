/** Threads: the same bits whoever computes, calls inside calls, aborting, and processes that end by themselves. */

import assert from "node:assert/strict";
import {
  type AttentionBackwardOptions,
  type AttentionOptions,
  type AttentionResult,
  createEngine,
  type Engine,
  type HostTensor,
} from "../../mod.ts";
import { plainTensor } from "../inputs.ts";
import { mapTuple } from "../tuples.ts";

function test(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn });
}

/** A call and its options. */
interface Call {
  readonly about: string;
  readonly q: HostTensor;
  readonly k: HostTensor;
  readonly v: HostTensor;
  readonly options: AttentionOptions;
}

function makeCall(about: string, q: number[], k: number[], options: AttentionOptions = {}): Call {
  return { about, q: plainTensor(1, q), k: plainTensor(2, k), v: plainTensor(3, k), options };
}

/** Large enough for all threads, each by another path; then small ones that stay on one. */
const calls: readonly Call[] = [
  makeCall("many heads", [2, 150, 6, 64], [2, 200, 2, 64], { causal: true }),
  makeCall("one head", [1, 500, 1, 64], [1, 500, 1, 64]),
  makeCall("decode in parts", [1, 1, 8, 128], [1, 6000, 1, 128]),
  makeCall("decode of many heads", [1, 2, 24, 64], [1, 2000, 12, 64]),
  makeCall("rows by regions", [1, 700, 1, 2048], [1, 40, 1, 2048]),
  makeCall("tiny", [1, 3, 2, 8], [1, 5, 2, 8], { softcap: 3 }),
  makeCall("empty", [1, 0, 2, 8], [1, 5, 2, 8]),
];

function words({ data }: HostTensor): Uint32Array {
  return new Uint32Array(data.buffer, data.byteOffset, data.length);
}

/** Fails with the first place where two sets of results differ. */
function assertSameBits<R extends object>(got: R, want: R, about: string): void {
  const wanted = new Map<string, HostTensor>(Object.entries(want));
  for (const [name, tensor] of Object.entries(got) as [string, HostTensor][]) {
    const a = words(tensor), b = words(wanted.get(name)!);
    assert.equal(a.length, b.length);
    const place = a.findIndex((bits, n) => bits !== b[n]);
    assert.equal(place, -1, `${name} differs at element ${place}: ${about}`);
  }
}

function forward(engine: Engine, { q, k, v, options }: Call): Promise<AttentionResult<HostTensor>> {
  return engine.attention(q, k, v, options);
}

function backward(
  engine: Engine,
  { q, k, v, options }: Omit<Call, "options"> & { readonly options: AttentionBackwardOptions },
  saved: AttentionResult<HostTensor>,
) {
  return engine.attentionBackward(saved.out, { q, k, v, ...saved }, options);
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test("2, 3 and 4 threads give the same bits every time, also on a new engine", async (t) => {
  for (const threads of [2, 3, 4]) {
    await t.step(`${threads} threads`, async () => {
      using engine = await createEngine({ backend: "wasm", threads });
      using other = await createEngine({ backend: "wasm", threads });
      for (const call of calls) {
        const want = await forward(engine, call), wantBack = await backward(engine, call, want);
        for (let repeat = 0; repeat < (threads === 3 ? 2 : 1); repeat++) {
          for (const one of [engine, other]) {
            assertSameBits(await forward(one, call), want, call.about);
            assertSameBits(await backward(one, call, want), wantBack, call.about);
          }
        }
      }
    });
  }
});

test("a call does not wait for workers that are still starting, and its bits are the same", async () => {
  for (const call of calls.slice(0, 4)) {
    using warm = await createEngine({ backend: "wasm", threads: 3 });
    await forward(warm, call);
    await sleep(150); // the workers are up
    const want = await forward(warm, call);
    for (let repeat = 0; repeat < 3; repeat++) {
      using cold = await createEngine({ backend: "wasm", threads: 3 });
      assertSameBits(await forward(cold, call), want, `${call.about}, the first of its engine`);
      await sleep(repeat * 15); // workers join in the middle of this one
      assertSameBits(await forward(cold, call), want, `${call.about}, the second`);
    }
  }
});

test("small and large calls in turn give the bits that each has alone", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 3 });
  const want: AttentionResult<HostTensor>[] = [];
  for (const call of calls) want.push(await forward(engine, call));
  for (let round = 0; round < 4; round++) {
    for (const n of calls.keys()) {
      const at = (n * (round + 1) + round) % calls.length;
      assertSameBits(await forward(engine, calls[at]!), want[at]!, calls[at]!.about);
    }
  }
});

test("asynchronous calls at a time, and synchronous ones in between, do not disturb each other", async () => {
  for (const threads of [1, 2, 4]) {
    using engine = await createEngine({ backend: "wasm", threads });
    const long = makeCall("long", [1, 1500, 4, 64], [1, 1500, 4, 64], { causal: true });
    const all = [...calls, long];
    const want: AttentionResult<HostTensor>[] = [];
    for (const call of all) want.push(await forward(engine, call));
    const wantLong = await backward(engine, long, want[all.length - 1]!);
    const atOnce = (call: Call) => engine.attentionSync(call.q, call.k, call.v, call.options);
    const wantSync = all.map(atOnce);

    let inside = 0, running = true;
    const failures: unknown[] = [];
    const timer = setInterval(() => {
      if (!running) return;
      const n = inside++ % calls.length;
      try {
        assertSameBits(atOnce(calls[n]!), wantSync[n]!, `${calls[n]!.about}, at once`);
      } catch (error) {
        failures.push(error);
      }
    }, 1);
    const gotLong = backward(engine, long, want[all.length - 1]!);
    const got = await Promise.all(all.map((call) => forward(engine, call)));
    assertSameBits(await gotLong, wantLong, `long backward, ${threads} threads`);
    running = false;
    clearInterval(timer);
    got.forEach((result, n) =>
      assertSameBits(result, want[n]!, `${all[n]!.about}, ${threads} threads`)
    );
    assert.deepEqual(failures, []);
    assert.ok(inside > 0, "a synchronous call ran while the others were running");
  }
});

test("a signal aborted before the call: rejects with its reason and does no work", async () => {
  for (const threads of [1, 2]) {
    using engine = await createEngine({ backend: "wasm", threads });
    const call = calls[0]!, reason = new Error("not today"), signal = AbortSignal.abort(reason);
    const before = engine.memory;
    const aborted = { ...call, options: { signal } };
    await assert.rejects(() => forward(engine, aborted), (error) => error === reason);
    assert.throws(
      () => engine.attentionSync(call.q, call.k, call.v, { signal }),
      (e) => e === reason,
    );
    assert.deepEqual(engine.memory, before);
  }
});

test("a signal aborted in the middle: rejects early with its reason, memory returned, engine usable", async () => {
  for (const threads of [1, 2, 4]) {
    using engine = await createEngine({ backend: "wasm", threads });
    const long = makeCall("long", [1, 2500, 4, 64], [1, 2500, 4, 64]);
    const call = calls[0]!;
    const saved = await forward(engine, long);
    await backward(engine, call, await forward(engine, call));
    const want = await forward(engine, call);
    // scratch for the larger of the two passes is there from now on
    const controller = new AbortController(), reason = new Error("enough");
    // a call says how far it is, and is aborted then: nothing here depends on how fast the machine is
    const shares: number[] = [];
    const signal = Object.assign(controller.signal, {
      progress(share: number) {
        shares.push(share);
        if (share > 0) controller.abort(reason);
      },
    });
    const first = { ...long, options: { signal } };
    const { used } = engine.memory;
    await assert.rejects(() => forward(engine, first), (error) => error === reason);
    assert.ok(shares.at(-1)! > 0 && shares.at(-1)! < 0.9, `it ended at ${shares}`);
    await engine.synchronize(); // other threads are out of their items
    assert.equal(engine.memory.used, used, `${threads} threads`);
    const late = AbortSignal.timeout(20);
    await assert.rejects(
      () => backward(engine, { ...long, options: { signal: late } }, saved),
      { name: "TimeoutError" },
    );
    await engine.synchronize();
    const afterBackward = engine.memory.used; // its scratch may have been larger
    assert.ok(afterBackward <= used + threads * 2 ** 19);
    assertSameBits(await forward(engine, call), want, call.about);
    assert.equal(engine.memory.used, afterBackward);
  }
});

test("what an aborted call was to write into is its caller's again when it rejects", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const long = makeCall("long", [1, 1000, 6, 64], [1, 1000, 6, 64]);
  const into = mapTuple([0, 1, 2], () => engine.empty(long.q.shape)), [dq, dk, dv] = into;
  const saved = await forward(engine, long), controller = new AbortController();
  const signal = Object.assign(controller.signal, {
    progress: (share: number) => share > 0 && controller.abort(), // threads are inside of other items
  });
  const call = backward(engine, { ...long, options: { signal, into: { dq, dk, dv } } }, saved);
  await assert.rejects(call, { name: "AbortError" });
  for (const tensor of into) tensor.write(new Float32Array(6000 * 64).fill(7));
  await engine.synchronize(); // nobody is inside of an item any more
  for (const tensor of into) {
    assert.equal((await tensor.read()).findIndex((x) => x !== 7), -1, "the first that is not 7");
  }
});

test("an aborted call that waits for others rejects, and the others go on", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const call = calls[0]!, want = await forward(engine, call);
  const controller = new AbortController();
  const first = forward(engine, call);
  const second = forward(engine, {
    ...call,
    options: { ...call.options, signal: controller.signal },
  });
  const third = forward(engine, call);
  controller.abort();
  await assert.rejects(second, { name: "AbortError" });
  for (const result of await Promise.all([first, third])) assertSameBits(result, want, call.about);
});

test("a call whose tensors are disposed of while it waits rejects", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const call = calls[0]!, { data, shape } = call.q;
  const resident = engine.tensor(data, shape);
  const first = forward(engine, call);
  const second = engine.attention(resident, resident, resident);
  resident.dispose();
  await assert.rejects(second, /was disposed while the call waited/);
  await first;
});

test("disposing of an idle engine stops its threads; calls that wait are refused", async () => {
  const engine = await createEngine({ backend: "wasm", threads: 3 });
  for (const call of calls) await forward(engine, call);
  engine.dispose();
  engine.dispose();
  assert.equal(engine.disposed, true);
  await assert.rejects(() => forward(engine, calls[0]!), /engine was disposed/);
  assert.throws(
    () => engine.attentionSync(calls[0]!.q, calls[0]!.k, calls[0]!.v),
    /engine was disposed/,
  );
  await engine.synchronize();
});

test("synchronize resolves after all calls given before", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  let done = 0;
  for (const call of calls) forward(engine, call).then(() => done++);
  await engine.synchronize();
  await Promise.resolve();
  assert.equal(done, calls.length);
});

test("workers read memory that grew by much after they had started", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 3 });
  const small = calls[0]!;
  for (let repeat = 0; repeat < 4; repeat++) await forward(engine, small);
  await sleep(200); // all workers are up and asleep
  const { total } = engine.memory;
  const far = engine.tensor(new Float32Array(40e6), [40e6]); // 160 MB that push the rest far up
  const large = makeCall("far up", [1, 1, 8, 128], [1, 40000, 1, 128]);
  const got = await forward(engine, large);
  assert.ok(engine.memory.total > total + 180e6);
  using fresh = await createEngine({ backend: "wasm", threads: 3 });
  assertSameBits(got, await forward(fresh, large), large.about);
  const many = makeCall("many heads", [1, 400, 12, 64], [1, 400, 12, 64]);
  assertSameBits(await forward(engine, many), await forward(fresh, many), many.about);
  far.dispose();
});

// --- whole processes -------------------------------------------------------------------------------

/** Deno itself, by the name under which it may be run. */
const deno = [Deno.execPath(), "deno"]
  .find((command) => Deno.permissions.querySync({ name: "run", command }).state === "granted");
const root = new URL("../../", import.meta.url);

/** Runs a script with no permission at all; one that does not end within `seconds` is killed. */
async function runScript(source: string, seconds: number, flags: string[] = []): Promise<string> {
  const child = new Deno.Command(deno ?? "deno", {
    args: ["run", "--quiet", "--no-prompt", ...flags, "-"],
    cwd: root.pathname,
    ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(source));
  await writer.close();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, seconds * 1000);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(timer);
  assert.ok(!late, `the script did not end within ${seconds} seconds`);
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  assert.equal(code, 0, text(stderr));
  return text(stdout);
}

/** A test of a whole process, visibly left out where Deno may not be run. */
function testProcess(name: string, fn: () => Promise<void>): void {
  const ignore = deno === undefined;
  const why = ignore ? " (left out: needs --allow-run)" : "";
  Deno.test({ name: `${name}${why}`, ignore, sanitizeOps: false, sanitizeResources: false, fn });
}

const prelude = `
import { attention, attentionSync, createEngine } from "./mod.ts";
const tensor = (...shape) => ({
  data: new Float32Array(shape.reduce((a, b) => a * b)).map((_, i) => Math.sin(i)),
  shape,
});
`;

testProcess("a script that calls attention() once ends by itself, with no permission", async () => {
  const source = `${prelude}
const x = tensor(1, 1000, 4, 64);
const { out } = await attention(x, x, x, { causal: true });
console.log(out.shape.join());
`;
  assert.equal(await runScript(source, 20), "1,1000,4,64");
});

testProcess("a script whose last call was aborted ends by itself", async () => {
  const source = `${prelude}
const engine = await createEngine({ threads: 4 }), x = tensor(1, 3000, 4, 64);
await engine.attention(x, x, x, { signal: AbortSignal.timeout(5) }).catch((e) => console.log(e.name));
`;
  assert.equal(await runScript(source, 20), "TimeoutError");
});

testProcess("disposing of an engine in the middle of a call settles the call", async () => {
  for (const threads of [1, 2, 4]) {
    const source = `${prelude}
const engine = await createEngine({ backend: "wasm", threads: ${threads} }), x = tensor(1, 2000, 4, 64);
await engine.attention(x, x, x);
const call = engine.attention(x, x, x).then(() => "settled", (e) => /dispose/.test(e) ? "settled" : e);
setTimeout(() => engine.dispose(), 15);
console.log(await call);
`;
    assert.equal(await runScript(source, 15), "settled", `${threads} threads`);
  }
});

testProcess(
  "a synchronous call that runs out of memory inside another call does not disturb it",
  async () => {
    for (const threads of [1, 2]) {
      const source = `${prelude}
const x = tensor(1, 3000, 4, 64), wide = tensor(1, 64, 1, 60000), options = { causal: true };
const settings = { backend: "wasm", threads: ${threads} };
const first = await createEngine(settings);
const want = await first.attention(x, x, x, options);
const engine = await createEngine({ ...settings, memoryBudget: first.memory.total + 2 ** 18 });
let failed = 0, running = true;
setTimeout(() => {
  try {
    engine.attentionSync(wide, wide, wide); // a row of it is more than there is
  } catch (error) {
    if (running && error instanceof RangeError) failed++;
  }
}, 8);
const got = await engine.attention(x, x, x, options);
running = false;
const place = got.out.data.findIndex((value, n) => value !== want.out.data[n]);
console.log(failed, place, got.lse.data.findIndex((value, n) => value !== want.lse.data[n]));
`;
      assert.equal(await runScript(source, 15), "1 -1 -1", `${threads} threads`);
    }
  },
);

testProcess("engines that are dropped without dispose() let their threads go", async () => {
  const source = `${prelude}
import process from "node:process";
const { Worker } = process.getBuiltinModule("node:worker_threads");
let started = 0, live = 0;
class Counted extends Worker {
  constructor(source, options) {
    super(source, options);
    started++;
    live++;
    this.on("exit", () => live--);
  }
}
process.getBuiltinModule = (name) => name === "node:worker_threads" ? { Worker: Counted } : undefined;
const x = tensor(1, 700, 8, 64);
async function drop() {
  const engine = await createEngine({ backend: "wasm", threads: 3 });
  await engine.attention(x, x, x);
}
for (let n = 0; n < 12; n++) await drop();
for (let n = 0; n < 100 && live > 0; n++) {
  gc();
  await new Promise((resolve) => setTimeout(resolve, 50));
}
console.log(started >= 12, live);
`;
  assert.equal(await runScript(source, 60, ["--v8-flags=--expose-gc"]), "true 0");
});
