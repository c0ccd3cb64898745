/** Every bad call is refused before any work, with the argument, its value and what was wanted. */

import assert from "node:assert/strict";
import {
  attention,
  attentionBackward,
  attentionBackwardSync,
  type AttentionOptions,
  attentionSync,
  captured,
  createEngine,
  type HostTensor,
  maskMod,
  scoreMod,
} from "../mod.ts";
import { badBackwardCalls, type BadCall, badForwardCalls } from "./bad_calls.ts";
import { plainTensor } from "./inputs.ts";
import { mapTuple } from "./tuples.ts";

const q = plainTensor(1, [2, 5, 4, 8]);
const k = plainTensor(2, [2, 7, 2, 8]);
const v = plainTensor(3, [2, 7, 2, 6]);

function test(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn });
}

/** Checks class and message of whatever `call` throws or rejects with. */
async function assertRefused(call: () => unknown, { error, wants }: BadCall): Promise<void> {
  let thrown: unknown;
  try {
    await call();
  } catch (reason) {
    thrown = reason;
  }
  assert.ok(thrown instanceof Error, "nothing was thrown");
  assert.equal(thrown.constructor.name, error.name, thrown.stack);
  assert.match(thrown.message, /^Cannot [^:]+: /, "the message names what failed, then says why");
  for (const want of wants) assert.match(thrown.message, want);
  assert.ok(!thrown.message.endsWith("."), `ends with a full stop: ${thrown.message}`);
}

test("attention() refuses bad arguments and says which, what it is and what was wanted", async (t) => {
  for (const bad of badForwardCalls) {
    await t.step(bad.about, async () => {
      const { operands = {}, options } = bad;
      const call = { q, k, v, ...operands } as Record<"q" | "k" | "v", HostTensor>;
      await assertRefused(() => attention(call.q, call.k, call.v, options), bad);
      await assertRefused(() => attentionSync(call.q, call.k, call.v, options), bad);
    });
  }
});

test("attentionBackward() refuses bad arguments likewise", async (t) => {
  const { out, lse } = attentionSync(q, k, v);
  const dOut = plainTensor(4, [2, 5, 4, 6]);
  const good = { q, k, v, out, lse, dOut };
  for (const bad of badBackwardCalls) {
    await t.step(bad.about, async () => {
      const { dOut, ...saved } = { ...good, ...bad.operands } as Record<
        keyof typeof good,
        HostTensor
      >;
      await assertRefused(() => attentionBackward(dOut, saved, bad.options), bad);
      await assertRefused(() => attentionBackwardSync(dOut, saved, bad.options), bad);
    });
  }
});

test("an engine stays usable after refusing a call", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const want = await engine.attention(q, k, v);
  for (const { operands = {}, options } of badForwardCalls) {
    const call = { q, k, v, ...operands } as Record<"q" | "k" | "v", HostTensor>;
    await assert.rejects(async () => await engine.attention(call.q, call.k, call.v, options));
  }
  assert.deepEqual(await engine.attention(q, k, v), want);
});

test("a disposed engine refuses every call", async () => {
  const engine = await createEngine({ backend: "wasm", threads: 1 });
  const tensor = engine.empty([4]), read = tensor.read();
  engine.dispose();
  await read; // which had begun
  await assert.rejects(() => tensor.read(), /^TypeError: Cannot read a tensor: its engine was/);
  assert.throws(() => tensor.write(new Float32Array(4)), /Cannot write a tensor: its engine was/);
  tensor.dispose();
  await assert.rejects(async () => await engine.attention(q, k, v), /dispose/);
  await assert.rejects(async () => await engine.tensor(new Float32Array(4), [4]), /dispose/);
  engine.dispose(); // a second time does nothing
});

test("a resident tensor is refused after it was disposed, and by another engine", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  using other = await createEngine({ backend: "wasm", threads: 1 });
  const [rq, rk, rv] = mapTuple([q, k, v], ({ data, shape }) => engine.tensor(data, shape));
  await assert.rejects(async () => await other.attention(rq, rk, rv), /engine/);
  rk.dispose();
  await assert.rejects(async () => await engine.attention(rq, rk, rv), /\bk\b.*dispose/);
  const out = plainTensor(1, [1, 1, 1, 4]), lse = other.tensor(new Float32Array(1), [1, 1, 1]);
  assert.throws(() => engine.mergeAttention([{ out, lse }]), /lse belongs to another engine/);
});

Deno.test("what only a GPU computes with is refused by the synchronous calls too", () => {
  const { out, lse } = attentionSync(q, k, v), dOut = plainTensor(4, [2, 5, 4, 6]);
  const options = { precision: "f16" } as const, refused = { name: "UnsupportedError" };
  assert.throws(() => attentionSync(q, k, v, options), refused);
  assert.throws(() => attentionBackwardSync(dOut, { q, k, v, out, lse }, options), refused);
});

Deno.test("bytes are no operands, and v is none that may be missing", () => {
  for (const [name, shape] of [["q", q.shape], ["k", k.shape], ["v", v.shape]] as const) {
    const bytes = { data: new Int8Array(shape.reduce((n, size) => n * size)), shape };
    const call = { q, k, v, [name]: bytes } as Record<"q" | "k" | "v", HostTensor>;
    assert.throws(() => attentionSync(call.q, call.k, call.v), {
      name: "UnsupportedError",
      message: new RegExp(`^${name} of dtype "i8" is not supported`),
    });
  }
  const none = undefined as unknown as HostTensor;
  const wanted = /^Cannot run attention: v is undefined but must be a tensor/;
  assert.throws(() => attentionSync(q, k, none), { name: "TypeError", message: wanted });
});

test("an aborted signal rejects with an AbortError", async () => {
  const signal = AbortSignal.abort();
  await assert.rejects(async () => await attention(q, k, v, { signal }), { name: "AbortError" });
  const reason = new Error("the user left");
  const withReason = { signal: AbortSignal.abort(reason) };
  const none = plainTensor(1, [1, 0, 4, 8]); // no work in which it would be noticed
  await assert.rejects(() => attention(none, none, none, withReason), reason);
  assert.throws(() => attentionSync(none, none, none, withReason), reason);
  await assert.rejects(
    async () => await attention(q, k, v, withReason),
    (error: Error) => error === reason || error.name === "AbortError",
  );
});

test("a signal aborted while the work runs rejects, and the engine goes on", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const big = plainTensor(5, [1, 1500, 4, 64]);
  const controller = new AbortController();
  const call = engine.attention(big, big, big, { signal: controller.signal });
  controller.abort();
  await assert.rejects(async () => await call, { name: "AbortError" });
  const { out } = await engine.attention(q, k, v);
  assert.deepEqual(out.shape, [2, 5, 4, 6]);
});

test("running out of the memory budget rejects with the bytes asked for", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1, memoryBudget: 4 << 20 });
  const data = new Float32Array(4 << 20);
  await assert.rejects(
    async () => await engine.tensor(data, [data.length]),
    (error: Error) => /\d{7,}|Mi?B/.test(error.message) && /memory|bytes/i.test(error.message),
  );
  const { out } = await engine.attention(q, k, v);
  assert.deepEqual(out.shape, [2, 5, 4, 6]);
});

test("createEngine() refuses bad options", async (t) => {
  const bad: readonly [object, RegExp, typeof RangeError | typeof TypeError][] = [
    [{ backend: "cuda" }, /backend.*cuda.*wasm/, TypeError],
    [{ threads: 0 }, /threads.*\b0\b/, RangeError],
    [{ threads: 1.5 }, /threads.*1\.5/, RangeError],
    [{ threads: "two" }, /threads.*two/, TypeError],
    [{ memoryBudget: -1 }, /memoryBudget.*-1/, RangeError],
    [{ thread: 2 }, /thread\b/, TypeError],
  ];
  for (const [options, message, error] of bad) {
    await t.step(Deno.inspect(options), async () => {
      const wants = [message];
      await assertRefused(() => createEngine(options as Parameters<typeof createEngine>[0]), {
        ...{ about: "", error, wants },
      });
    });
  }
});

test("options that are undefined count as not given", async () => {
  const options: AttentionOptions = {
    ...{ softcap: undefined, causal: undefined, bias: undefined, window: undefined },
    ...{ mask: undefined, keyLengths: undefined, softmaxScale: undefined, layout: undefined },
  };
  assert.deepEqual(await attention(q, k, v, options), await attention(q, k, v));
});

Deno.test("a diagonal beyond what kernels count is refused where something counts from it", () => {
  const x = { data: new Float32Array(8).fill(0.1), shape: [1, 8, 1, 1] };
  const alibiSlopes = { data: Float32Array.of(0.5), shape: [1] };
  const far = maskMod(({ diagonal, key }) => diagonal.ge(key));
  const near = 2 ** 30 - 8; // the lengths are 8
  for (const more of [{ alibiSlopes }, { maskMod: far }]) {
    for (const offset of [near + 1, -near - 1, 2 ** 40, [0x7fffffff]]) {
      assert.throws(() => attentionSync(x, x, x, { causal: { offset }, ...more }), {
        name: "RangeError",
        message:
          /^Cannot run attention: causal\.offset is -?\d+ but must be from -1073741816 to 1073741816/,
      });
    }
    attentionSync(x, x, x, { causal: { offset: near }, ...more });
    attentionSync(x, x, x, { causal: { offset: -near }, ...more });
  }
  const all = attentionSync(x, x, x),
    none = attentionSync(x, x, x, { causal: { offset: -(2 ** 40) } });
  assert.deepEqual(attentionSync(x, x, x, { causal: { offset: 2 ** 40 } }).out.data, all.out.data);
  assert.ok(none.lse.data.every((n) => n === -Infinity));
});

Deno.test("a function at the furthest diagonal reads what was proven", () => {
  const x = { data: new Float32Array(8).fill(0.1), shape: [1, 8, 1, 1] };
  for (const offset of [2 ** 30 - 8, 8 - 2 ** 30]) {
    const table = captured(Float32Array.from({ length: 8 }, (_, n) => n), [8]);
    const mod = scoreMod(({ score, diagonal }) => score.add(table.at(diagonal.sub(offset))));
    const options = { scoreMod: mod, causal: { offset } };
    const { lse } = attentionSync(x, x, x, options), seen = offset > 0;
    const plain = attentionSync(x, x, x).lse.data[0]!;
    lse.data.forEach((n, i) =>
      assert.ok(seen ? Math.abs(n - plain - i) < 1e-5 : n === -Infinity, `${i}: ${n}`)
    );
  }
});
