/** Buffers that are kept for later calls: found again by their size, and the sizes used last win. */

import assert from "node:assert/strict";
import type { GpuDevice } from "../../src/webgpu/device/api.ts";
import { GpuMemory } from "../../src/webgpu/device/memory.ts";

const MIB = 2 ** 20;

/** A device whose buffers are numbers. */
function counting() {
  const live = new Set<object>();
  const device = {
    createBuffer({ size, usage }: { size: number; usage: number }) {
      const buffer = { size, usage, destroy: () => live.delete(buffer) };
      live.add(buffer);
      return buffer;
    },
    pushErrorScope() {},
    popErrorScope: () => Promise.resolve(null),
  };
  return { live, memory: new GpuMemory(device as unknown as GpuDevice, 2 ** 32, 2 ** 40) };
}

Deno.test("a tensor's buffer has the size of its values, scratch that of its grade", () => {
  const { memory } = counting();
  assert.deepEqual([1, 16, 18, 1001].map((n) => memory.takeExactly(n).size), [16, 16, 20, 1004]);
  assert.equal(memory.take(1001).size, 1024);
});

Deno.test("what is given back is taken again; of sizes nobody wants the oldest go first", () => {
  const { live, memory } = counting();
  const first = memory.takeExactly(10 * MIB);
  memory.give(first);
  assert.equal(memory.takeExactly(10 * MIB), first);
  memory.give(first);
  for (let n = 1; n <= 100; n++) memory.give(memory.takeExactly(10 * MIB + 4 * n)); // lengths that grow
  const { total, used } = memory.use;
  assert.ok(used === 0 && total <= 256 * MIB && total > 240 * MIB, `${total} bytes are kept`);
  assert.equal(live.size, 25);
  const last = memory.takeExactly(10 * MIB + 400);
  assert.ok(live.has(last) && live.size === 25, "the size used last is there");
  assert.notEqual(memory.takeExactly(10 * MIB), first);
  memory.give(memory.takeExactly(300 * MIB)); // more than is kept at all
  assert.ok([...live].every((buffer) => (buffer as { size: number }).size < 300 * MIB));
  memory.dispose();
  assert.equal(memory.use.total, memory.use.used);
});
