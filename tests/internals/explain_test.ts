/** engine.explain: what a call would do, as data that can be stored and read. */

import assert from "node:assert/strict";
import {
  type AttentionOptions,
  createBlockMask,
  createEngine,
  type Explanation,
  type HostTensor,
  masks,
} from "../../mod.ts";

function zeros(...shape: number[]): HostTensor {
  return { data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape };
}

/** What an engine says about q and k = v of these shapes. */
async function explain(
  q: number[],
  k: number[],
  options: AttentionOptions = {},
  threads = 2,
): Promise<Explanation> {
  using engine = await createEngine({ backend: "wasm", threads });
  return engine.explain(zeros(...q), zeros(...k), zeros(...k), options);
}

Deno.test("an explanation survives JSON and holds every fact of the plan", async () => {
  const facts = await explain([2, 500, 8, 64], [2, 500, 2, 64], { causal: true });
  assert.deepEqual(JSON.parse(JSON.stringify(facts)), facts);
  assert.equal(facts.backend, "wasm");
  assert.match(facts.reason, /SIMD.*2 threads/);
  assert.equal(facts.kernel, "forward");
  assert.equal(facts.threads, 2);
  assert.equal(facts.splits, 1);
  assert.equal(facts.matrixBytes, 2 * 8 * 500 * 500 * 4);
  assert.equal(facts.cost.pairs, 2 * 8 * 500 * 500);
  assert.equal(facts.cost.visiblePairs, 2 * 8 * 500 * 501 / 2);
  assert.equal(facts.cost.flops, 2 * facts.cost.visiblePairs * 128);
  assert.equal(facts.cost.bytes, (2 * 500 * 8 * 128 + 2 * 500 * 2 * 128) * 4);
  assert.ok(facts.items >= 2 * 8 && facts.regions >= 1);
  assert.ok(facts.tile.rows % 8 === 0 && facts.tile.keys % 16 === 0);
  assert.ok(facts.scratchBytes > 0 && facts.scratchBytes < 2 ** 20);
});

Deno.test("few query rows to a kv head are decode, more are forward, mixed storage too", async () => {
  const kernel = async (q: number[], k: number[]) => (await explain(q, k)).kernel;
  assert.equal(await kernel([1, 1, 8, 64], [1, 4096, 8, 64]), "decode");
  assert.equal(await kernel([1, 2, 8, 64], [1, 4096, 1, 64]), "decode"); // 16 rows
  assert.equal(await kernel([1, 17, 1, 64], [1, 4096, 1, 64]), "forward");
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const half: HostTensor = { data: new Uint16Array(100 * 8), shape: [1, 100, 1, 8], dtype: "f16" };
  const facts = engine.explain(zeros(1, 1, 1, 8), half, zeros(1, 100, 1, 8));
  assert.equal(facts.kernel, "forward", "k and v stored differently");
});

Deno.test("tiny work stays on one thread, larger work takes all", async () => {
  assert.equal((await explain([1, 16, 2, 16], [1, 16, 2, 16], {}, 3)).threads, 1);
  assert.equal((await explain([1, 1000, 2, 64], [1, 1000, 2, 64], {}, 3)).threads, 3);
  assert.equal((await explain([1, 1000, 2, 64], [1, 1000, 2, 64], {}, 1)).threads, 1);
});

Deno.test("decode of one kv head is cut into parts, one a thread, and many heads are not", async () => {
  assert.equal((await explain([1, 1, 8, 128], [1, 20000, 1, 128], {}, 2)).splits, 2);
  assert.equal((await explain([1, 1, 8, 128], [1, 20000, 8, 128], {}, 2)).splits, 1);
  assert.equal((await explain([1, 1, 8, 128], [1, 20000, 1, 128], {}, 1)).splits, 1);
});

Deno.test("rows that turn are steps before the kernel: q and k, or q alone", async () => {
  const kernels = async (options: AttentionOptions) =>
    (await explain([1, 300, 4, 32], [1, 300, 2, 32], options)).steps.map(({ kernel }) => kernel);
  assert.deepEqual(await kernels({}), ["forward"]);
  assert.deepEqual(await kernels({ rotary: {} }), ["rotate q", "rotate k", "forward"]);
  assert.deepEqual(await kernels({ rotary: { keys: false } }), ["rotate q", "forward"]);
});

Deno.test("structural masks lower the cost", async () => {
  const shape = [1, 256, 1, 32];
  const pairs = async (options: AttentionOptions) =>
    (await explain(shape, shape, options)).cost.visiblePairs;
  assert.equal(await pairs({}), 256 * 256);
  assert.equal(await pairs({ window: { left: 0, right: 0 } }), 256);
  assert.equal(await pairs({ keyLengths: Int32Array.of(10) }), 2560);
  assert.equal(await pairs({ causal: { offset: -300 } }), 0);
});

Deno.test("explaining computes nothing, takes no memory and refuses what a call refuses", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const before = engine.memory, x = zeros(1, 4096, 8, 64);
  engine.explain(x, x, x, { causal: true });
  assert.deepEqual(engine.memory, before);
  assert.throws(() => engine.explain(x, zeros(1, 5, 3, 64), zeros(1, 5, 3, 64)), /multiple/);
  assert.throws(() => engine.explain(x, x, x, { softcap: -1 }), /softcap/);
});

Deno.test("empty problems are explained too", async () => {
  const none = await explain([1, 0, 2, 8], [1, 5, 2, 8]);
  assert.equal(none.cost.visiblePairs, 0);
  const empty = await explain([0, 3, 2, 8], [0, 5, 2, 8]);
  assert.deepEqual([empty.items, empty.regions], [0, 0]);
});

Deno.test("what a mask function leaves is said, and nothing where there is none", async () => {
  const shape = [1, 500, 2, 8], mask = masks.causal().and(masks.window(127, 0));
  assert.ok(!("blocks" in await explain(shape, shape, { causal: true })));
  const found = (await explain(shape, shape, { maskMod: mask })).blocks!;
  const { milliseconds, ...counts } = found;
  assert.deepEqual(counts, { blockSize: 128, empty: 9, partial: 7, full: 0 });
  assert.ok(milliseconds >= 0);
  const blockMask = createBlockMask(mask, { lengthQ: 500, lengthK: 500 });
  const { milliseconds: _, ...same } = (await explain(shape, shape, { blockMask })).blocks!;
  assert.deepEqual(same, counts);
});
