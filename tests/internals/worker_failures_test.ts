/** Workers that are refused, break or vanish: calls end, right or with an error, and engines say what is so. */

import assert from "node:assert/strict";
import process from "node:process";
import { runInNewContext } from "node:vm";
import type { Worker as NodeWorker } from "node:worker_threads";
import { attentionSync, createEngine, type Engine, type HostTensor } from "../../mod.ts";
import { kernelBytes } from "../../src/kernels.ts";
import { refusal, threadShortage } from "../../src/wasm/run/host.ts";
import { plainTensor } from "../inputs.ts";

function test(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn });
}

type Make = new (source: string, options: { eval: true }) => NodeWorker;
const RealWorker = process.getBuiltinModule("node:worker_threads").Worker as unknown as Make;

/** Replaces a property of the host while `run` runs. */
async function during<T>(
  host: object,
  name: string,
  property: PropertyDescriptor,
  run: () => T | Promise<T>,
): Promise<T> {
  const before = Object.getOwnPropertyDescriptor(host, name);
  Object.defineProperty(host, name, { configurable: true, ...property });
  try {
    return await run();
  } finally {
    if (before) Object.defineProperty(host, name, before);
    else delete (host as Record<string, unknown>)[name];
  }
}

/** Runs with another class of worker threads, or with none. */
function withWorkers<T>(Worker: unknown, run: () => Promise<T>): Promise<T> {
  const value = () => Worker && { Worker };
  return during(process, "getBuiltinModule", { value }, run);
}

/** Workers whose text is changed. */
function changed(change: (source: string) => string): Make {
  return class extends (RealWorker as unknown as { new (...args: unknown[]): NodeWorker }) {
    constructor(source: string, options: { eval: true }) {
      super(change(source), options);
    }
  } as unknown as Make;
}

const x = plainTensor(1, [1, 700, 6, 64]);
/** Items of a fifth of a second: the calling thread would rather leave them to others. */
const long = plainTensor(2, [1, 6000, 1, 64]);

const bits = ({ data }: HostTensor) => new Uint32Array(data.buffer, data.byteOffset, data.length);

const ofOneThread = new Map<HostTensor, Uint32Array>();

/** What one thread gives, once for each tensor. */
function wantedOf(q: HostTensor): Uint32Array {
  let want = ofOneThread.get(q);
  if (!want) ofOneThread.set(q, want = bits(attentionSync(q, q, q).out));
  return want;
}

async function assertRight(engine: Engine, q: HostTensor = x): Promise<void> {
  const { out } = await engine.attention(q, q, q), want = wantedOf(q);
  const place = bits(out).findIndex((value, n) => value !== want[n]);
  assert.equal(place, -1, "no element differs from that of one thread");
}

/** Waits for what events of the host bring about; on a busy machine they come late. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; n < 500 && !await holds(); n++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const threadsOf = ({ target }: Engine) => (target as { threads: number }).threads;

/** The engine says everywhere that it has one thread, and why. */
function assertAlone(engine: Engine, why: RegExp): void {
  assert.equal(threadsOf(engine), 1);
  assert.equal(engine.explain(x, x, x).threads, 1);
  assert.match(engine.reason, why);
  assert.match(engine.reason, /1 thread /);
}

class Denied {
  constructor() {
    throw Object.assign(new Error("restricted"), { code: "ERR_ACCESS_DENIED" });
  }
}
const refused: readonly [about: string, Worker: unknown, why: RegExp][] = [
  ["the permission model", Denied, /--allow-worker/],
  ["a name that a tool put in", changed(() => "__name(1)"), /__name is not defined/],
  ["a worker that ends at once", changed(() => `require("node:process").exit(0)`), /it ended/],
];

for (const [about, Worker, why] of refused) {
  test(`workers that cannot start, ${about}: one thread, and the engine says so`, async () => {
    await withWorkers(Worker, async () => {
      for (const q of [x, long]) {
        using engine = await createEngine({ backend: "wasm", threads: 3 });
        await assertRight(engine, q);
        await until(() => threadsOf(engine) === 1); // errors are events
        assertAlone(engine, why);
        await assertRight(engine, q);
        engine.attentionSync(x, x, x);
      }
    });
  });
}

test("workers that never answer are not waited for", async () => {
  await withWorkers(changed(() => "setInterval(() => {}, 1000)"), async () => {
    for (const q of [x, long]) {
      using engine = await createEngine({ backend: "wasm", threads: 3 });
      await assertRight(engine, q);
      await assertRight(engine, q);
    }
  });
});

for (
  const [about, text, said] of [
    ["traps", `throw new Error("unreachable")`, /worker thread failed .*unreachable/],
    ["ends", `require("node:process").exit(3)`, /worker thread failed/],
  ] as const
) {
  test(`a worker that ${about} inside an item: the call rejects, and later calls are right`, async () => {
    const Worker = changed((source) => {
      assert.ok(source.includes("const region ="));
      return source.replace("const region =", `${text}; const region =`);
    });
    for (const q of [x, long]) {
      using engine = await createEngine({ backend: "wasm", threads: 2 });
      await withWorkers(Worker, async () => {
        let failed: Error | undefined;
        // the first calls may be done before the worker is up
        for (let n = 0; n < 60 && !failed; n++) {
          await engine.attention(q, q, q).catch((error) => failed = error);
        }
        assert.match(String(failed), said);
        await engine.synchronize();
      });
      if (about === "traps") continue; // its workers live, and go on trapping
      // others of them may have been starting
      let inRow = 0;
      await until(async () => {
        const right = await engine.attention(q, q, q).then(() => true, () => false);
        inRow = right ? inRow + 1 : 0;
        return inRow === 5;
      });
      await engine.synchronize();
      await assertRight(engine, q);
      await until(() => threadsOf(engine) === 2);
      assert.equal(threadsOf(engine), 2);
    }
  });
}

test("a worker whose end is heard of before it said that it is up: the call rejects", async () => {
  const Worker = changed((source) => {
    assert.ok(source.includes('tell("ready");'));
    const silent = source.replace('tell("ready");', "");
    return silent.replace("const region =", `require("node:process").exit(3); const region =`);
  });
  await withWorkers(Worker, async () => {
    using engine = await createEngine({ backend: "wasm", threads: 2 });
    let failed: Error | undefined;
    for (let n = 0; n < 60 && !failed; n++) { // the first calls may be done before it is up
      await engine.attention(x, x, x).catch((error) => failed = error);
    }
    assert.match(String(failed), /worker thread failed .*it ended/);
  });
});

test("a worker that is slow to count what it did: the next call's progress is its own", async () => {
  const pause = "for (const end = Date.now() + 30; Date.now() < end;);";
  const Worker = changed((source) => {
    assert.ok(source.includes("Atomics.add(control, words.done, 1)"));
    return source.replaceAll("Atomics.add(control, words.done", `${pause} $&`);
  });
  await withWorkers(Worker, async () => {
    using engine = await createEngine({ backend: "wasm", threads: 2 });
    const shares: number[] = [];
    const signal = { throwIfAborted() {}, progress: (share: number) => void shares.push(share) };
    for (let call = 0; call < 12; call++) {
      await engine.attention(x, x, x, { signal });
      assert.equal(Math.max(...shares) <= 1, true, `call ${call}: ${shares}`);
      assert.equal(shares[0], 0);
      shares.length = 0;
    }
  });
});

test("workers of the web that a policy forbids: one thread, with the remedy", async () => {
  class Throws {
    constructor() {
      throw new TypeError("This document requires 'TrustedScriptURL' assignment");
    }
  }
  class ThrowsInFirefox {
    constructor() {
      throw new TypeError("Worker constructor: Sink type mismatch violation blocked by CSP");
    }
  }
  class Refused {
    onerror?: (event: { preventDefault(): void }) => void;
    postMessage(): void {
      setTimeout(() => this.onerror?.({ preventDefault() {} }));
    }
    terminate(): void {}
  }
  const policies = [
    [Throws, /trusted-types flashtile/],
    [ThrowsInFirefox, /trusted-types flashtile/],
    [Refused, /add blob: to its worker-src/],
  ] as const;
  for (const [value, why] of policies) {
    await withWorkers(undefined, () =>
      during(globalThis, "Worker", { value }, async () => {
        using engine = await createEngine({ backend: "wasm", threads: 2 });
        await assertRight(engine);
        await until(() => threadsOf(engine) === 1);
        assertAlone(engine, why);
        await assertRight(engine);
      }));
  }
});

test("pages with Trusted Types that allow the policy have workers", async () => {
  const urls: unknown[] = [];
  class Trusting {
    constructor(url: unknown) {
      if (typeof url === "string") throw new TypeError("requires 'TrustedScriptURL'");
      urls.push(url);
    }
    postMessage(): void {}
    terminate(): void {}
  }
  let policies = 0;
  const createPolicy = (name: string) => {
    if (policies++ > 0) throw new TypeError(`a policy "${name}" already exists`);
    return { createScriptURL: (url: string) => ({ url }) };
  };
  const run = async () => {
    using engine = await createEngine({ backend: "wasm", threads: 2 });
    await assertRight(engine, long);
  };
  await withWorkers(
    undefined,
    () =>
      during(
        globalThis,
        "trustedTypes",
        { value: { createPolicy } },
        () =>
          during(globalThis, "Worker", { value: Trusting }, async () => {
            await run();
            const first = urls.length;
            // how many start before one has answered depends on the time that each takes
            assert.ok(first > 0, "a worker was started");
            await run();
            assert.ok(urls.length > first, "another engine's, by the same policy");
          }),
      ),
  );
  assert.equal(policies, 1);
});

test("why there is one thread: the cause in each host, with the remedy", async () => {
  const noWorker = { value: undefined };
  const alone = (host: object, name: string, property: PropertyDescriptor, why: RegExp) =>
    during(globalThis, "Worker", noWorker, () =>
      during(host, name, property, async () => {
        assert.match(threadShortage() ?? "", why);
        using engine = await createEngine({ backend: "wasm", threads: 2 });
        assertAlone(engine, why);
        await assertRight(engine);
      }));
  const isolate =
    /Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require/;
  await alone(globalThis, "crossOriginIsolated", { value: false }, isolate);
  await alone(globalThis, "document", { value: {} }, isolate);
  await alone(globalThis, "ServiceWorkerGlobalScope", { value: class {} }, /ServiceWorker/);
  await alone(globalThis, "SharedWorkerGlobalScope", { value: class {} }, /SharedWorker/);
  await alone(globalThis, "SharedArrayBuffer", { value: undefined }, /no SharedArrayBuffer/);
  await alone(process, "getBuiltinModule", { value: undefined }, /Node has from 20.16 and 22.3/);
  await alone(process, "permission", { value: { has: () => false } }, /--allow-worker/);
  await alone(globalThis, "process", { value: undefined }, /no workers/);
  const get = () => {
    throw new Error("not supported in the Edge Runtime");
  };
  await alone(globalThis, "process", { get }, /no workers/);
  await alone(process, "getBuiltinModule", { get }, /Node has from|no workers/);
});

Deno.test("what a worker said becomes a reason with its remedy", () => {
  assert.match(refusal("SyntaxError: here"), /do not start here \(SyntaxError: here\)/);
  assert.match(refusal(new Error("violates the Content Security Policy")), /worker-src/);
});

Deno.test("threads beyond four to a core: the engine says how many it has, and starts no more", async () => {
  for (const [hardwareConcurrency, want] of [[1, 4], [2, 8], [128, 256]] as const) {
    await during(globalThis, "navigator", { value: { hardwareConcurrency } }, async () => {
      using engine = await createEngine({ backend: "wasm", threads: 256 });
      assert.equal((engine.target as { threads: number }).threads, want);
      if (want < 256) assert.match(engine.reason, /no more threads: 4 to a core/);
      else assert.doesNotMatch(engine.reason, /no more/);
    });
  }
});

Deno.test("a host that tells neither cores nor modules: the engine says why it has one thread", async () => {
  const { process } = globalThis;
  await during(
    globalThis,
    "navigator",
    { value: undefined },
    () =>
      during(
        globalThis,
        "Worker",
        { value: undefined },
        () =>
          during(process, "getBuiltinModule", { value: undefined }, async () => {
            using engine = await createEngine({ backend: "wasm" });
            assert.match(
              engine.reason,
              /1 thread .*no more threads: .*Node has from 20.16 and 22.3/,
            );
          }),
      ),
  );
});

Deno.test("a module of the kernels from another realm is taken, any other is refused by name", async () => {
  const Module = runInNewContext("WebAssembly.Module") as typeof WebAssembly.Module;
  using engine = await createEngine({ wasmModule: new Module(kernelBytes("plain")) });
  engine.attentionSync(x, x, x);
  assert.match(engine.reason, /wasmModule was given/);
  const empty = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  for (const wasmModule of [empty, {}, kernelBytes("plain"), null, "kernel.wasm"]) {
    await assert.rejects(createEngine({ wasmModule: wasmModule as object }), {
      name: "TypeError",
      message:
        /^Cannot run createEngine: wasmModule (has no run|is .* must be a WebAssembly.Module)/,
    });
  }
});

Deno.test("hosts without WebAssembly, and pages that forbid it, get the remedy by name", async () => {
  await during(globalThis, "WebAssembly", { value: undefined }, async () => {
    const error = { name: "UnsupportedError", message: /without WebAssembly .*--jitless/ };
    await assert.rejects(createEngine({ backend: "wasm" }), error);
    await assert.rejects(createEngine({ backend: "wasm", wasmModule: {} }), error);
  });
  const value = class {
    constructor() {
      throw new WebAssembly.CompileError("violates the Content Security policy");
    }
  };
  await during(WebAssembly, "Module", { value }, async () => {
    const message = /'wasm-unsafe-eval' .*createEngine\({ wasmModule }\)/;
    await assert.rejects(createEngine({ backend: "wasm" }), { name: "UnsupportedError", message });
  });
});
