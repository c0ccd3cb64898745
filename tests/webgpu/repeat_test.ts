/** Many calls, at a time and one after the other: the same bits, and memory and buffers that do not grow. */

import assert from "node:assert/strict";
import type { AnyTensor, AttentionOptions, HostTensor } from "../../mod.ts";
import { defineCase } from "../case.ts";
import { makeInputs, plainTensor } from "../inputs.ts";
import type { TestTensor } from "../reference/problem.ts";
import { everything } from "../selection.ts";
import { mapTuple } from "../tuples.ts";
import { callersDevice, gpuEngine, gpuTest, watchDevice } from "./support.ts";
import { homes, place, sameBits } from "./tensors.ts";

const options: AttentionOptions = { causal: true };
/** Every sum there is: over rows, heads and sequences. */
const all = defineCase({
  ...{ batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 40, headDim: 32, causal: true, sink: true },
  ...everything,
});

/** Calls of many shapes that share few shaders: tiles, and every ninth decodes. */
const shapes = Array.from(
  { length: 20 },
  (_, n) => [1 + n % 2, n % 9 === 0 ? 2 : 1 + (n * 7) % 60, 4, 32],
);
const many = shapes.map((shape, n) => ({
  q: plainTensor(3 * n, shape),
  k: plainTensor(3 * n + 1, [shape[0]!, 20 + n * 5, 2, 32]),
  v: plainTensor(3 * n + 2, [shape[0]!, 20 + n * 5, 2, 32]),
}));

gpuTest("120 calls leave the memory as it was and the number of buffers bounded", async () => {
  const device = await callersDevice(), watch = watchDevice(device);
  using engine = await gpuEngine({ device });
  using rq = place(engine, many[3]!.q);
  const { used } = engine.memory, counts: number[] = [];
  for (let n = 0; n < 120; n++) {
    const one = many[n % 20]!, on = n % 20 === 3 ? rq : one.q;
    const { out, lse } = await engine.attention(on, one.k, one.v, options);
    if (n % 4 === 3) {
      const back = await engine.attentionBackward(out, { q: on, k: one.k, v: one.v, out, lse });
      for (const tensor of Object.values(back)) if ("dispose" in tensor) tensor.dispose();
    }
    for (const tensor of [out, lse] as AnyTensor[]) if ("dispose" in tensor) tensor.dispose();
    assert.equal(engine.memory.used, used, `after call ${n}`);
    counts.push(watch.live.size);
  }
  // the pool is full after the first sixty calls, which had every shape three times
  assert.equal(Math.max(...counts.slice(60)), counts[59], counts.join());
  rq.dispose();
  engine.dispose();
  assert.equal(watch.live.size, 0, "a disposed engine leaves no buffer on a caller's device");
  device.destroy();
});

gpuTest(
  "20 calls of different shapes at a time give the bits of calls one after the other",
  async () => {
    using engine = await gpuEngine();
    const run = async ({ q, k, v }: typeof many[0]) => {
      const { out, lse } = await engine.attention(q, k, v, options);
      return { out, lse, ...await engine.attentionBackward(q, { q, k, v, out, lse }, options) };
    };
    const alone: Record<string, TestTensor>[] = [];
    for (const call of many) alone.push(await homes(await run(call)));
    const together = await Promise.all(many.map(run));
    for (const [n, results] of together.entries()) {
      for (const [name, tensor] of Object.entries(await homes(results))) {
        sameBits(tensor, alone[n]![name]!, `${name} of call ${n}`);
      }
    }
  },
);

gpuTest("ten repeats give the same bits, resident and host, forward and backward", async () => {
  using engine = await gpuEngine();
  const inputs = makeInputs(all),
    { q, k, v, dOut } = inputs,
    given = inputs.options as AttentionOptions;
  const run = async (on: boolean) => {
    using places = new DisposableStack();
    const [a, b, c] = mapTuple(
      [q, k, v],
      (x): AnyTensor => on ? places.use(place(engine, x)) : x as HostTensor,
    );
    const forward = await engine.attention(a, b, c, given);
    const back = await engine.attentionBackward(dOut, { q: a, k: b, v: c, ...forward }, given);
    const got = await homes({ ...forward, ...back });
    for (const x of [...Object.values(forward), ...Object.values(back)] as AnyTensor[]) {
      if ("dispose" in x) x.dispose();
    }
    return got;
  };
  const want = await run(false);
  for (let repeat = 0; repeat < 10; repeat++) {
    for (const [name, tensor] of Object.entries(await run(repeat % 2 === 0))) {
      sameBits(tensor, want[name]!, `${name}, repeat ${repeat}`);
    }
  }
});
