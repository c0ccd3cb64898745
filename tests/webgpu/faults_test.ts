/** Calls that fail half-way: out of memory, errors of the device, aborted, disposed of. Nothing stays behind. */

import assert from "node:assert/strict";
import {
  type AnyTensor,
  type AttentionOptions,
  createEngine,
  type Engine,
  type HostTensor,
} from "../../mod.ts";
import { type GpuDevice, type GpuError, USAGE } from "../../src/webgpu/device/api.ts";
import { encode } from "../half.ts";
import { plainTensor } from "../inputs.ts";
import type { TestTensor } from "../reference/problem.ts";
import {
  absent,
  callersDevice,
  deviceOf,
  gpuEngine,
  gpuTest,
  sleep,
  software,
  watchDevice,
} from "./support.ts";
import { mapTuple } from "../tuples.ts";

const STORAGE = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
/** Grouped, as in other tests, so that they share kernels. */
const LENGTH = 100;
const [q, dOut] = mapTuple([1, 4], (seed) => plainTensor(seed, [1, LENGTH, 4, 32]));
const [k, v] = mapTuple([2, 3], (seed) => plainTensor(seed, [1, LENGTH, 2, 32]));

const narrow = ({ data, shape }: TestTensor): TestTensor => ({
  data: encode(Float64Array.from(data), "f16", "bits"),
  shape,
  dtype: "f16",
});

function release(results: object): void {
  for (const tensor of Object.values(results) as AnyTensor[]) {
    if (typeof tensor === "object" && "dispose" in tensor) tensor.dispose();
  }
}

/** A small call gives what it gave before. */
async function checkWell(engine: Engine): Promise<void> {
  const x = plainTensor(5, [1, 20, 4, 32]);
  const { out } = await engine.attention(x, x, x);
  const want = engine.attentionSync(x, x, x).out.data;
  assert.ok(want.length === out.data.length);
  for (let n = 0; n < want.length; n++) assert.ok(Math.abs(out.data[n]! - want[n]!) < 1e-5);
}

/** Ways to call an engine that take some memory; each resolves to its results. */
const calls: Readonly<Record<string, (engine: Engine) => Promise<object>>> = {
  forward: (engine) => engine.attention(q, k, v),
  "forward in 16 bits": (engine) => engine.attention(narrow(q), narrow(k), narrow(v)),
  "forward, resident": async (engine) => {
    using place = engine.tensor(q.data, q.shape);
    return await engine.attention(place, k, v);
  },
  "backward in 16 bits": (engine) => {
    const lse = plainTensor(6, [1, 4, LENGTH]), out = narrow(dOut);
    return engine.attentionBackward(out, { q: narrow(q), k: narrow(k), v: narrow(v), out, lse });
  },
  "backward with a bias": (engine) => {
    const lse = plainTensor(6, [1, 4, LENGTH]),
      bias = plainTensor(7, [4, LENGTH, LENGTH]) as HostTensor;
    return engine.attentionBackward(dOut, { q, k, v, out: dOut, lse }, { bias });
  },
  encode: (engine) => {
    const encoder = deviceOf(engine).createCommandEncoder(), pass = encoder.beginComputePass();
    const results = engine.encode(pass, narrow(q), narrow(k), narrow(v));
    pass.end();
    deviceOf(engine).queue.submit([encoder.finish()]);
    return Promise.resolve(results);
  },
  merge: (engine) => {
    using places = new DisposableStack();
    const parts = [1, 2].map((seed) => ({
      out: places.use(engine.tensor(narrow(q).data, q.shape, "f16")),
      lse: places.use(engine.tensor(plainTensor(seed, [1, 4, LENGTH]).data, [1, 4, LENGTH])),
    }));
    return Promise.resolve(engine.mergeAttention(parts));
  },
};

for (const [name, call] of Object.entries(calls)) {
  gpuTest(
    `out of memoryBudget: RangeError with the bytes, nothing is left behind: ${name}`,
    async () => {
      const device = await callersDevice(), watch = watchDevice(device);
      let failed = 0, done = 0;
      // where a call takes everything at once, every allocation is once the one that does not fit
      const grow = (budget: number) => budget + Math.max(24576, Math.floor(budget / 7));
      for (let memoryBudget = 65536; done < 2; memoryBudget = grow(memoryBudget)) {
        using engine = await gpuEngine({ device, memoryBudget });
        const before = engine.memory.used;
        try {
          // async: some calls throw at once
          release(await (async () => await call(engine))());
          done++;
        } catch (error) {
          assert.ok(error instanceof RangeError, Deno.inspect(error));
          assert.match(error.message, /\d+ bytes.*memoryBudget/);
          failed++;
        }
        assert.equal(engine.memory.used, before, `${memoryBudget} bytes`);
        assert.ok(engine.memory.total <= memoryBudget, `${engine.memory.total} of ${memoryBudget}`);
        assert.ok(engine.memory.peak <= memoryBudget);
        engine.dispose();
        assert.equal(watch.live.size, 0, `${memoryBudget} bytes`);
      }
      assert.ok(failed > 0, "no budget was too small"); // what can be cut into parts needs little
      device.destroy();
    },
  );
}

gpuTest("an engine out of memory is usable, and tensors give room when they go", async () => {
  using engine = await gpuEngine({ memoryBudget: 2 ** 20 });
  const big = plainTensor(1, [1, 2000, 1, 64]); // 500 KiB
  using first = engine.tensor(big.data, big.shape);
  const { used } = engine.memory;
  const second = engine.tensor(big.data, big.shape);
  assert.throws(() => engine.tensor(big.data, big.shape), /RangeError.*512000 bytes.*memoryBudget/);
  await assert.rejects(() => engine.attention(first, first, first), RangeError);
  second.dispose();
  assert.equal(engine.memory.used, used);
  assert.deepEqual(await first.read(), big.data);
  await checkWell(engine);
});

gpuTest("scratch that is kept for later calls counts, and goes when room is wanted", async () => {
  const memoryBudget = 2 ** 20;
  using engine = await gpuEngine({ memoryBudget });
  for (const length of [300, 520, 700, 900, 450]) { // none fits the scratch of another
    const x = plainTensor(length, [1, length, 1, 32]);
    await engine.attention(x, x, x);
    assert.ok(engine.memory.total <= memoryBudget, `${engine.memory.total} bytes`);
  }
  assert.equal(engine.memory.used, 0);
  assert.ok(engine.memory.total > 0, "some is kept");
  using whole = engine.tensor(new Float32Array(2 ** 18), [2 ** 18]);
  assert.equal(engine.memory.total, memoryBudget);
  assert.equal(whole.disposed, false);
});

/** Makes the nth buffer from now on fail for want of memory, as devices do: it is made, and good for nothing. */
function withoutRoom(device: GpuDevice, nth: number): void {
  const [push, pop] = [device.pushErrorScope.bind(device), device.popErrorScope.bind(device)];
  const create = device.createBuffer.bind(device), scopes: string[] = [];
  let buffers = 0, full = false;
  device.pushErrorScope = (filter) => {
    scopes.push(filter);
    push(filter);
  };
  device.createBuffer = (descriptor) => {
    if (++buffers !== nth) return create(descriptor);
    full = true;
    push("validation");
    const buffer = create({ ...descriptor, usage: USAGE.mapRead | USAGE.storage }); // which no device has
    void pop();
    return Object.defineProperty(buffer, "usage", { value: descriptor.usage });
  };
  device.popErrorScope = async () => {
    const said = scopes.pop() === "out-of-memory" && full;
    if (said) full = false;
    const error = await pop();
    return said ? { message: "the device is full" } as GpuError : error;
  };
}

const isFull = (error: unknown) =>
  error instanceof RangeError && /\d+ bytes.*the device is full/.test(error.message);

gpuTest("a device without room: RangeError with the bytes, and the next call works", async () => {
  for (const nth of [1, 2, 4, 7]) { // a result, an operand, the schedule, what brings results home
    const device = await callersDevice();
    using engine = await gpuEngine({ device, debug: nth === 2 });
    const want = engine.attentionSync(q, k, v).out.data, { used } = engine.memory;
    withoutRoom(device, nth);
    await assert.rejects(() => engine.attention(q, k, v), isFull);
    assert.equal(engine.memory.used, used);
    const { out } = await engine.attention(q, k, v); // with buffers of the same sizes
    out.data.forEach((x, n) => assert.ok(Math.abs(x - want[n]!) < 1e-5, `${nth}`));
    await checkWell(engine);
    device.destroy();
  }
});

gpuTest("a device without room for what is not awaited: who waits next hears it", async () => {
  const device = await callersDevice();
  using engine = await gpuEngine({ device });
  const values = plainTensor(5, [1, 999, 1, 32]); // a size of its own
  withoutRoom(device, 1);
  using tensor = engine.tensor(values.data, values.shape);
  await assert.rejects(() => tensor.read(), isFull);
  tensor.dispose();
  using again = engine.tensor(values.data, values.shape);
  assert.deepEqual(await again.read(), values.data);
  await checkWell(engine);
  device.destroy();
});

for (const debug of [true, false]) {
  gpuTest(
    `an error of the device reaches the caller, ${debug ? "with" : "without"} debug`,
    async () => {
      using engine = await gpuEngine({ debug });
      await checkWell(engine); // and with it the memory of WASM
      const device = deviceOf(engine), other = await callersDevice();
      const size = q.data.byteLength, lse = plainTensor(6, [1, 4, LENGTH]);
      const buffers = {
        destroyed: () => {
          const buffer = device.createBuffer({ size, usage: STORAGE });
          return { buffer, spoil: () => buffer.destroy() };
        },
        "another device's": () => {
          return { buffer: other.createBuffer({ size, usage: STORAGE }), spoil: () => {} };
        },
      };
      for (const [kind, make] of Object.entries(buffers)) {
        const wrapped = (shape = q.shape) => {
          const { buffer, spoil } = make(), tensor = engine.wrap(buffer, shape);
          spoil();
          return tensor;
        };
        await assert.rejects(
          () => engine.attention(q, wrapped(k.shape), v),
          /GPU rejected it/,
          kind,
        );
        await checkWell(engine);
        const saved = { q, k, v, out: dOut, lse };
        await assert.rejects(
          () => engine.attentionBackward(wrapped(), saved),
          /GPU rejected it/,
          kind,
        );
        await assert.rejects(() => wrapped().read(), /GPU rejected it/, kind);
        // what cannot wait is heard by whoever waits next
        const later: [string, () => unknown][] = [
          ["write", () => wrapped().write(q.data as Float32Array)],
          ["a merge", () => engine.mergeAttention([{ out: wrapped(), lse: engine.tensor(lse) }])],
          ["recording", () => {
            const pass = device.createCommandEncoder().beginComputePass();
            engine.encode(pass, q, wrapped(k.shape), v);
          }],
        ];
        for (const [name, call] of later) {
          call();
          await assert.rejects(() => engine.synchronize(), /GPU rejected it/, `${kind}, ${name}`);
          await engine.synchronize(); // said once
          call();
          await new Promise((done) => setTimeout(done, 20));
          await assert.rejects(
            () => engine.attention(q, k, v),
            /GPU rejected it/,
            `${kind}, ${name}`,
          );
          await checkWell(engine);
        }
        // resident results: the call resolves before the device has looked at them
        const { out } = await engine.attention(wrapped(), k, v).catch(() => ({ out: undefined }));
        if (out) await assert.rejects(() => out.read(), /GPU rejected it/, kind);
      }
      other.destroy();
      await checkWell(engine);
    },
  );
}

gpuTest("after an error of the device all ways home work, and bring what is there", async () => {
  using engine = await gpuEngine();
  const x = plainTensor(7, [1, 8, 1, 16]), place = engine.tensor(x.data as Float32Array, x.shape);
  const heads = { sequences: 1, kvHeads: 1, headDim: 16, capacity: 8 };
  using cache = engine.kvCache(heads);
  cache.append(x, x, { sequences: [0] });
  const ways = {
    "a tensor": () => place.read(),
    "results": async () => (await engine.attention(x, x, x)).out.data,
    "a cache": async () => (await cache.export(0)).keys.rows.data,
  };
  for (const [name, way] of Object.entries(ways)) {
    const want = await way(), { used } = engine.memory;
    for (let n = 0; n < 3; n++) { // each used to leave a buffer mapped for the next
      const buffer = deviceOf(engine).createBuffer({ size: x.data.byteLength, usage: STORAGE });
      using tensor = engine.wrap(buffer, x.shape);
      buffer.destroy();
      tensor.write(x.data as Float32Array);
      await assert.rejects(way, /^Error: Cannot write a tensor: the GPU rejected it/, name);
      assert.deepEqual(await way(), want, name);
      assert.equal(engine.memory.used, used, name);
    }
  }
});

// --- disposing -----------------------------------------------------------------------------------------

gpuTest("a disposed engine refuses everything, twice", async () => {
  const engine = await gpuEngine(), device = deviceOf(engine);
  const tensor = engine.tensor(q.data, q.shape),
    buffer = device.createBuffer({ size: 16, usage: 128 });
  const pass = device.createCommandEncoder().beginComputePass();
  await checkWell(engine);
  const read = assert.rejects(tensor.read(), /^TypeError: .*engine was disposed/);
  engine.dispose();
  engine.dispose();
  await read;
  const wanted = /engine was disposed/, part = { out: q, lse: plainTensor(6, [1, 4, LENGTH]) };
  await assert.rejects(() => engine.attention(q, k, v), wanted);
  await assert.rejects(() => engine.attention(tensor, k, v), wanted);
  await assert.rejects(() => engine.attentionBackward(q, { q, k, v, ...part }), wanted);
  assert.throws(() => engine.attentionSync(q, k, v), wanted);
  assert.throws(() => engine.mergeAttention([part]), wanted);
  assert.throws(() => engine.tensor(q.data, q.shape), wanted);
  assert.throws(() => engine.wrap(buffer, [4]), wanted);
  assert.throws(() => engine.encode(pass, q, k, v), wanted);
  assert.throws(() => engine.explain(q, k, v), wanted);
  await assert.rejects(() => tensor.read(), wanted); // not the loss of the device, which the program asked for
  assert.throws(() => tensor.write(q.data as Float32Array), wanted);
  tensor.dispose();
  await engine.synchronize().catch(() => {});
});

gpuTest(
  "disposing of an engine settles its calls: refused, and nothing stays on the device",
  async () => {
    for (const own of [true, false]) {
      for (const ms of [0, 3, 20]) {
        const device = own ? undefined : await callersDevice(),
          watch = device && watchDevice(device);
        const engine = await gpuEngine({ device });
        const running = [1, 2, 3].map(() => engine.attention(q, k, v));
        if (ms > 0) await sleep(ms);
        engine.dispose();
        const settled = await Promise.race([Promise.allSettled(running), sleep(5000)]);
        assert.ok(settled, "calls of a disposed engine do not end");
        for (const result of settled) {
          if (result.status === "rejected") assert.match(`${result.reason}`, /engine was disposed/);
          else assert.ok(ms > 0, "a call resolved although the engine was disposed at once");
        }
        if (watch) assert.equal(watch.live.size, 0, `${watch.live.size} buffers are left`);
        device?.destroy();
      }
    }
  },
);

// --- aborting ------------------------------------------------------------------------------------------

/** Three submissions on a software adapter. */
const long = plainTensor(8, [1, 3000, 8, 32]);
const hardware = absent ?? (software ? undefined : "a hardware GPU may be done before the signal");

gpuTest("aborted before the call: rejects with the reason and does no work", async () => {
  using engine = await gpuEngine();
  const reason = new Error("not today"), signal = AbortSignal.abort(reason);
  const options: AttentionOptions = { signal }, before = engine.memory;
  const lse = plainTensor(6, [1, 4, LENGTH]);
  await assert.rejects(() => engine.attention(q, k, v, options), (error) => error === reason);
  await assert.rejects(
    () => engine.attentionBackward(dOut, { q, k, v, out: dOut, lse }, options),
    (error) => error === reason,
  );
  assert.deepEqual(engine.memory, before);
});

gpuTest("aborted while it waits for others: rejects, and the others go on", async () => {
  using engine = await gpuEngine();
  const want = await engine.attention(q, k, v), controller = new AbortController();
  const { signal } = controller, { used } = engine.memory;
  const first = engine.attention(q, k, v), second = engine.attention(q, k, v, { signal });
  const third = engine.attention(q, k, v);
  controller.abort();
  await assert.rejects(second, { name: "AbortError" });
  for (const { out } of [await first, await third]) assert.deepEqual(out.data, want.out.data);
  assert.equal(engine.memory.used, used);
});

gpuTest(
  "aborted in the middle: rejects early with the reason, memory returned, engine usable",
  async () => {
    using engine = await gpuEngine({ debug: false });
    const { queue } = deviceOf(engine), submit = queue.submit.bind(queue);
    let submissions = 0, onSubmit = () => {};
    queue.submit = (commands) => {
      submissions++;
      submit(commands);
      onSubmit();
    };
    const want = await engine.attention(q, k, v);
    submissions = 0;
    await engine.attention(long, long, long);
    const whole = submissions, { used } = engine.memory;
    assert.ok(whole > 2, `${whole} submissions are too few to stop in between`);
    const reason = new Error("enough"), controller = new AbortController();
    submissions = 0;
    onSubmit = () => submissions === 1 && controller.abort(reason);
    const call = engine.attention(long, long, long, { signal: controller.signal });
    await assert.rejects(call, (error) => error === reason);
    assert.ok(submissions < whole - 1, `${submissions} of ${whole} submissions`);
    assert.equal(engine.memory.used, used);
    // the device still computes what was submitted; later calls must not meet it
    const again = await engine.attention(q, k, v);
    assert.deepEqual(again.out.data as Float32Array, want.out.data as Float32Array);
    await checkWell(engine);
  },
  { lacks: hardware, part: "rest" },
);

gpuTest("aborted in the middle of a backward pass, and of a call on resident tensors", async () => {
  using engine = await gpuEngine();
  using resident = engine.tensor(long.data, long.shape);
  const { out, lse } = engine.attentionSync(long, long, long) as {
    out: HostTensor;
    lse: HostTensor;
  };
  const { used } = engine.memory;
  const saved = { q: resident, k: long, v: long, out, lse };
  for (
    const call of [
      (signal: AbortSignal) => engine.attention(resident, long, long, { signal }),
      (signal: AbortSignal) => engine.attentionBackward(long, saved, { signal }),
    ]
  ) {
    await assert.rejects(() => call(AbortSignal.timeout(30)), { name: "TimeoutError" });
    assert.equal(engine.memory.used, used);
  }
  await checkWell(engine);
}, { lacks: hardware, part: "rest" });

gpuTest("an engine that is disposed of before its GPU is found lets it go", async () => {
  const engine = await createEngine({ backend: "auto" }); // looks, and finds software or hardware
  engine.dispose();
  await assert.rejects(() => engine.attention(q, k, v), /engine was disposed/);
});
