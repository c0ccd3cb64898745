/** Rows enter caches on a GPU from tensors that are larger than a binding, and from buffers of any size. */

import assert from "node:assert/strict";
import { USAGE } from "../../src/webgpu/device/api.ts";
import { plainTensor } from "../inputs.ts";
import { deviceOf, forcedEngine, gpuEngine, gpuTest } from "./support.ts";

const sizes = { sequences: 2, kvHeads: 2, headDim: 32, pageSize: 16, pages: 64 };

gpuTest("rows of tensors that are more than can be bound", async () => {
  const storageBinding = 2 ** 18; // of each of the two pools
  const { engine, watch } = await forcedEngine({
    allowFallbackAdapter: true,
    limits: { storageBinding },
  });
  using _ = engine;
  const shape = { bshd: [2, 500, 2, 32], bhsd: [2, 2, 500, 32] };
  for (const layout of ["bshd", "bhsd"] as const) {
    const [k, v] = [1, 2].map((seed) => plainTensor(seed, shape[layout])) as [never, never];
    for (const place of [(x: never) => x, (x: never) => engine.tensor(x) as never]) {
      using cache = engine.kvCache(sizes);
      cache.append(place(k), place(v), { layout });
      const rows = await cache.values.read(), { data } = v as { data: Float32Array };
      const at = (b: number, row: number, head: number) =>
        layout === "bshd" ? ((b * 500 + row) * 2 + head) * 32 : ((b * 2 + head) * 500 + row) * 32;
      for (const [b, row, head] of [[0, 0, 1], [0, 499, 0], [1, 255, 1], [1, 499, 1]] as const) {
        const got = rows.subarray(((b * 500 + row) * 2 + head) * 32).subarray(0, 32);
        assert.deepEqual(got, data.slice(at(b, row, head), at(b, row, head) + 32), `${layout}`);
      }
    }
  }
  assert.ok(watch.largestBinding <= storageBinding, `${watch.largestBinding} bytes were bound`);
});

gpuTest("rows in a caller's buffer that ends where it likes", async () => {
  using engine = await gpuEngine();
  const x = plainTensor(3, [1, 5, 2, 32]).data as Float32Array;
  const usage = USAGE.storage | USAGE.copyTarget;
  const buffer = deviceOf(engine).createBuffer({ size: x.byteLength + 2, usage });
  using cache = engine.kvCache({ ...sizes, pages: 4 });
  using rows = engine.wrap(buffer as never, [1, 5, 2, 32]);
  rows.write(x);
  cache.append(rows, rows, { sequences: [1] });
  await engine.synchronize();
  assert.deepEqual((await cache.keys.read()).subarray(5 * 64), x);
  buffer.destroy();
});
