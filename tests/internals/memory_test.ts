/** Linear memory: the allocator, what engines hold after calls and failures, and running out. */

import assert from "node:assert/strict";
import {
  type AttentionOptions,
  createEngine,
  type Engine,
  type HostTensor,
  mergeAttention,
} from "../../mod.ts";
import { FreeBlocks, GRAIN } from "../../src/wasm/memory/free_blocks.ts";
import { HEAP_BYTE, LinearMemory } from "../../src/wasm/memory/linear_memory.ts";
import { makeResults } from "../../src/wasm/memory/results.ts";
import { WasmTensor } from "../../src/wasm/memory/tensors.ts";
import { describeForward } from "../../src/problem/problem.ts";
import { resultSpecs } from "../../src/problem/results.ts";
import { plainTensor } from "../inputs.ts";
import { randomNumbers } from "../random.ts";
import { mapTuple } from "../tuples.ts";

const MiB = 2 ** 20;

function test(name: string, fn: (t: Deno.TestContext) => Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn });
}

Deno.test("random allocations never overlap, are aligned, and keep what was written", () => {
  const random = randomNumbers(7), memory = new LinearMemory(false, 2 ** 26);
  const live = new Map<number, { bytes: number; mark: number }>();
  const upTo64 = (n: number) => Math.max(64, Math.ceil(n / 64) * 64);
  let used = 0, peak = 0;
  for (let step = 0; step < 2000; step++) {
    if (live.size < 3 || random() < 0.52) {
      const bytes = Math.floor(random() ** 4 * 300000), pointer = memory.allocate(bytes);
      assert.equal(pointer % 64, 0);
      assert.ok(pointer >= HEAP_BYTE && pointer + bytes <= memory.use.total);
      for (const [other, { bytes: n }] of live) {
        const apart = pointer + upTo64(bytes) <= other || other + upTo64(n) <= pointer;
        if (!apart) assert.fail(`${pointer}+${bytes} overlaps ${other}+${n}`);
      }
      memory.u8(pointer, bytes).fill(step % 251);
      live.set(pointer, { bytes, mark: step % 251 });
      used += upTo64(bytes);
    } else {
      const pointers = [...live.keys()],
        pointer = pointers[Math.floor(random() * pointers.length)]!;
      const { bytes, mark } = live.get(pointer)!;
      assert.ok(memory.u8(pointer, bytes).every((byte) => byte === mark), "bytes were kept");
      memory.free(pointer);
      live.delete(pointer);
      used -= upTo64(bytes);
    }
    peak = Math.max(peak, used);
    assert.deepEqual([memory.use.used, memory.use.peak], [used, peak]);
  }
  for (const pointer of live.keys()) memory.free(pointer);
  assert.equal(memory.use.used, 0);
});

Deno.test("freed blocks are joined with their neighbours, in whatever order they are freed", () => {
  for (const order of [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [0, 2, 1, 3]]) {
    const memory = new LinearMemory(false, 2 ** 26);
    const blocks = order.map(() => memory.allocate(MiB));
    const { total } = memory.use;
    for (const n of order) memory.free(blocks[n]!);
    assert.equal(memory.allocate(4 * MiB), HEAP_BYTE, "all four are one block again");
    assert.equal(memory.use.total, total, "no growth was needed");
  }
});

Deno.test("a block that fits is found behind any number of smaller ones", () => {
  const free = new FreeBlocks(), fits = 96 * GRAIN; // all in one bin: from 64 grains to below 128
  free.add(0, fits);
  for (let n = 1; n <= 40; n++) free.add(n * 2 ** 16, n * 2 ** 16 + (64 + n % 16) * GRAIN);
  assert.equal(free.take(fits), 0);
  assert.equal(free.take(fits), undefined);
});

Deno.test("room is the largest block that there is room for, and no more", () => {
  const random = randomNumbers(5);
  for (let round = 0; round < 20; round++) {
    const memory = new LinearMemory(false, MiB), blocks: number[] = [];
    for (let n = 0; n < 6; n++) blocks.push(memory.allocate(1 + Math.floor(random() * 100000)));
    for (const n of [1, 4]) memory.free(blocks[n]!);
    if (round % 2) memory.free(blocks[5]!);
    const { room } = memory;
    assert.throws(() => memory.allocate(room + 1), RangeError);
    assert.equal(memory.budgetFor(room), memory.budget, "all of the budget");
    memory.allocate(room);
  }
});

Deno.test("results of which one finds no room leave nothing behind, and let go of their places", () => {
  const memory = new LinearMemory(false, 2 ** 17), shape = [1, 2048, 1, 4]; // room for two of these
  const q = new WasmTensor(memory, shape, "f32"), { used } = memory.use;
  const { problem, views } = describeForward(q, q, q, {}), specs = resultSpecs(problem, views);
  assert.throws(() => makeResults(memory, specs), RangeError);
  assert.equal(memory.use.used, used);
  const out = new WasmTensor(memory, shape, "f32");
  const into = { out: { ...views.q!, name: "out", tensor: out } as const };
  assert.throws(() => makeResults(memory, specs, false, into), RangeError);
  out.dispose();
  assert.equal(memory.use.used, used);
});

Deno.test("growth is by whole pages, uses a free tail, and only when nothing fits", () => {
  const memory = new LinearMemory(false, 2 ** 26), page = 65536;
  assert.equal(memory.use.total, page);
  const first = memory.allocate(page / 2);
  assert.equal(memory.use.total, 2 * page);
  memory.allocate(page); // half a page is left, half a page more is needed
  assert.equal(memory.use.total, 3 * page);
  memory.free(first);
  assert.equal(memory.allocate(100), first);
  assert.equal(memory.use.total, 3 * page);
});

Deno.test("freeing twice, or what was never allocated, changes nothing", () => {
  const memory = new LinearMemory(false, 2 ** 26), pointer = memory.allocate(1000);
  memory.free(pointer + 64);
  assert.equal(memory.use.used, 1024);
  memory.free(pointer);
  memory.free(pointer);
  assert.equal(memory.use.used, 0);
  const again = memory.allocate(64);
  assert.notEqual(memory.allocate(64), again);
});

Deno.test("beyond the budget a RangeError says how many bytes, and nothing is lost", () => {
  const memory = new LinearMemory(false, MiB);
  const kept = memory.allocate(500000);
  const { total, used } = memory.use;
  const error = {
    name: "RangeError",
    message: /Cannot allocate 600000 bytes.*memoryBudget is 1048576/,
  };
  assert.throws(() => memory.allocate(600000), error);
  assert.deepEqual([memory.use.total, memory.use.used], [total, used]);
  memory.free(kept);
  assert.equal(memory.allocate(600000), kept);
});

Deno.test("the most that a memory may have follows from the budget, and where there is no room errors say so", async () => {
  const Real = WebAssembly.Memory, asked: WebAssembly.MemoryDescriptor[] = [];
  let room = true;
  WebAssembly.Memory = class extends Real {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      if (!room) throw new RangeError("could not allocate memory");
      asked.push(descriptor);
      super(descriptor);
    }
  };
  try {
    for (const memoryBudget of [2 ** 16, 100e6, 2 ** 32, 2 ** 40, undefined]) {
      using _engine = await createEngine({ backend: "wasm", threads: 2, memoryBudget });
    }
    assert.deepEqual(asked.map(({ maximum }) => maximum), [1, 1525, 65536, 65536, 65536]);
    room = false;
    await assert.rejects(createEngine({ backend: "wasm" }), {
      name: "RangeError",
      message: /^Cannot run createEngine: no address space .*dispose of engines .*memoryBudget$/,
    });
  } finally {
    WebAssembly.Memory = Real;
  }
});

Deno.test("beyond 4 GiB a RangeError says so too", () => {
  const memory = new LinearMemory(false, Infinity);
  const error = { name: "RangeError", message: /Cannot allocate 5000000000 bytes.*cannot grow/ };
  assert.throws(() => memory.allocate(5e9), error);
  memory.allocate(64);
});

Deno.test("views reach memory that was grown after other views were made", () => {
  const memory = new LinearMemory(false, 2 ** 26);
  const small = memory.allocate(64);
  memory.f32(small, 16).fill(2);
  const large = memory.allocate(8 * MiB);
  memory.u16(large, 4 * MiB).fill(9);
  assert.ok(memory.f32(small, 16).every((x) => x === 2));
  assert.equal(memory.u32(large, 1)[0], 9 * 65537);
});

/** One call: what it is and its parts. */
interface Call {
  readonly q: HostTensor;
  readonly k: HostTensor;
  readonly v: HostTensor;
  readonly dOut: HostTensor;
  readonly options: AttentionOptions;
}

function makeCall(n: number): Call {
  const random = randomNumbers(n);
  const pick = (...of: number[]) => of[Math.floor(random() * of.length)]!;
  const batch = pick(1, 2), kvHeads = pick(1, 2), heads = kvHeads * pick(1, 2, 4);
  const lengthQ = pick(1, 1, 17, 90, 300), lengthK = pick(5, 80, 310, 700);
  const headDim = pick(4, 20, 64), valueDim = pick(4, 20, 64);
  const half = (tensor: HostTensor): HostTensor =>
    n % 4 === 0 ? { ...tensor, data: Float16Array.from(tensor.data as Float32Array) } : tensor;
  return {
    q: half(plainTensor(n, [batch, lengthQ, heads, headDim])),
    k: half(plainTensor(n + 1, [batch, lengthK, kvHeads, headDim])),
    v: half(plainTensor(n + 2, [batch, lengthK, kvHeads, valueDim])),
    dOut: half(plainTensor(n + 3, [batch, lengthQ, heads, valueDim])),
    options: {
      ...(n % 3 === 0 ? { causal: true } : {}),
      ...(n % 5 === 0 ? { bias: plainTensor(n, [heads, lengthQ, lengthK]) } : {}),
      ...(n % 7 === 0 ? { mask: { data: new Uint8Array(lengthK).fill(1), shape: [lengthK] } } : {}),
    },
  };
}

/** Forward and backward, asynchronous and synchronous, with host and with resident tensors. */
async function useEngine(engine: Engine, n: number): Promise<void> {
  const { q, k, v, dOut, options } = makeCall(n);
  if (n % 2) {
    const saved = { q, k, v, ...engine.attentionSync(q, k, v, options) };
    engine.attentionBackwardSync(dOut, saved, options);
    mergeAttention([saved, saved], { engine });
    return;
  }
  if (n % 4 === 2) {
    const saved = { q, k, v, ...await engine.attention(q, k, v, options) };
    await engine.attentionBackward(dOut, saved, options);
    return;
  }
  using stack = new DisposableStack();
  const [rq, rk, rv, rd] = mapTuple(
    [q, k, v, dOut],
    ({ data, shape }) => stack.use(engine.tensor(data, shape)),
  );
  const { out, lse } = await engine.attention(rq, rk, rv, options);
  stack.use(out);
  stack.use(lse);
  const saved = { q: rq, k: rk, v: rv, out, lse };
  const { dq, dk, dv, dBias } = await engine.attentionBackward(rd, saved, options);
  for (const tensor of [dq, dk, dv]) stack.use(tensor);
  if (dBias && "dispose" in dBias) stack.use(dBias);
}

test("200 varied calls leak nothing, and memory stops growing after the first round", async (t) => {
  for (const threads of [1, 3]) {
    await t.step(`${threads} threads`, async () => {
      using engine = await createEngine({ backend: "wasm", threads });
      for (let n = 0; n < 100; n++) await useEngine(engine, n);
      const { total, used } = engine.memory;
      for (let n = 0; n < 100; n++) await useEngine(engine, n);
      assert.equal(engine.memory.used, used, "bytes in use");
      assert.equal(engine.memory.total, total, "bytes in total");
      // what stays is the scratch of the threads
      assert.ok(used <= threads * MiB, `${used} bytes stay in use`);
    });
  }
});

test("resident tensors count as used until they are disposed of", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const before = engine.memory.used;
  const tensor = engine.tensor(new Float32Array(1000), [10, 100]);
  assert.equal(engine.memory.used, before + 4032); // whole cache lines
  tensor.dispose();
  tensor.dispose();
  assert.equal(engine.memory.used, before);
  {
    using half = engine.tensor(new Uint16Array(1000), [1000], "bf16");
    assert.equal(half.disposed, false);
    assert.equal(engine.memory.used, before + 2048);
  }
  assert.equal(engine.memory.used, before);
});

/** Calls that a budget of 4 MiB cannot hold, each in its own way. */
const tooLarge: readonly [about: string, run: (engine: Engine) => unknown][] = [
  ["host tensors", (engine) => {
    const x = plainTensor(1, [1, 16, 1, 40000]);
    return engine.attention(x, x, x);
  }],
  ["host tensors, at once", (engine) => {
    const x = plainTensor(1, [1, 16, 1, 40000]);
    return engine.attentionSync(x, x, x);
  }],
  ["keys that cannot come in chunks", (engine) => {
    const q = plainTensor(1, [1, 20, 1, 64]), k = plainTensor(2, [1, 20000, 1, 64]);
    return engine.attentionTopKeys(q, k, plainTensor(3, [1, 1, 20]), { count: 3 });
  }],
  ["results of resident tensors", async (engine) => {
    const q = plainTensor(1, [1, 3000, 4, 8]), k = plainTensor(2, [1, 4, 4, 8]);
    const v = plainTensor(3, [1, 4, 4, 200]);
    using stack = new DisposableStack();
    const [rq, rk, rv] = mapTuple(
      [q, k, v],
      ({ data, shape }) => stack.use(engine.tensor(data, shape)),
    );
    await engine.attention(rq, rk, rv);
  }],
  ["a resident tensor", (engine) => engine.tensor(new Float32Array(2 ** 21), [2 ** 21])],
  ["gradients", (engine) => {
    const x = plainTensor(1, [1, 40, 1, 20000]), lse = plainTensor(2, [1, 1, 40]);
    return engine.attentionBackward(x, { q: x, k: x, v: x, out: x, lse });
  }],
  ["a merge", (engine) => {
    const part = { out: plainTensor(1, [1, 2, 1, 400000]), lse: plainTensor(2, [1, 1, 2]) };
    return mergeAttention([part, part], { engine });
  }],
];

for (const [about, run] of tooLarge) {
  test(`out of memory for ${about}: a RangeError with the bytes, nothing leaks, calls go on`, async () => {
    for (const threads of [1, 2]) {
      using engine = await createEngine({ backend: "wasm", threads, memoryBudget: 4 * MiB });
      const x = plainTensor(5, [1, 300, 2, 32]);
      const want = await engine.attention(x, x, x);
      const { used } = engine.memory;
      for (let repeat = 0; repeat < 3; repeat++) {
        await assert.rejects(
          async () => await run(engine),
          (error: Error) => {
            assert.ok(error instanceof RangeError, String(error));
            assert.match(
              error.message,
              /Cannot (allocate|run \w+: it takes) \d+ bytes.*memoryBudget is 4194304/,
            );
            return true;
          },
        );
        assert.ok(engine.memory.used <= used + 2 * MiB, "no more than larger scratch stays");
      }
      const afterOne = engine.memory.used;
      await assert.rejects(async () => await run(engine), RangeError);
      assert.equal(engine.memory.used, afterOne, "failing again takes nothing more");
      assert.deepEqual(await engine.attention(x, x, x), want);
      assert.ok(engine.memory.total <= 4 * MiB);
    }
  });
}

test("refused and aborted calls take no memory", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const x = plainTensor(1, [1, 300, 2, 32]);
  await engine.attention(x, x, x);
  const { used, total } = engine.memory;
  const signal = AbortSignal.abort();
  await assert.rejects(async () => await engine.attention(x, x, x, { signal }));
  assert.throws(() => engine.attentionSync(x, x, x, { signal }));
  await assert.rejects(async () => await engine.attention(x, x, x, { softcap: -1 }));
  assert.throws(() => engine.tensor(new Float32Array(3), [2]));
  assert.deepEqual([engine.memory.used, engine.memory.total], [used, total]);
});
