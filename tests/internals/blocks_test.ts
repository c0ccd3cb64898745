/** The summary of a mask: a byte for every 16 keys of every 8 query rows, empty, partial or full. */

import assert from "node:assert/strict";
import { kernelBytes, type SimdLevel } from "../../src/wasm/module/kernel_bytes.ts";
import type { Axes } from "../../src/tensor/view.ts";
import {
  blocksBytes,
  blocksWords,
  type StagedPairs,
  summarizeBlocks,
} from "../../src/wasm/run/blocks.ts";
import { HEAP_BYTE } from "../../src/wasm/memory/linear_memory.ts";
import { detectSimd, instantiateKernels } from "../../src/wasm/module/module.ts";

const ROWS = 21, KEYS = 37, PITCH = 48, PANELS = 3, BLOCKS = 3;

/** Every kind of block in every place, the ragged ones at the end included. */
function maskRows(seed: number): Uint8Array {
  const rows = new Uint8Array(ROWS * PITCH); // what is past the last key is zero
  for (let panel = 0; panel < PANELS; panel++) {
    for (let block = 0; block < BLOCKS; block++) {
      const kind = (panel * 2 + block + seed) % 3;
      for (let i = panel * 8; i < Math.min(ROWS, panel * 8 + 8); i++) {
        for (let j = block * 16; j < Math.min(KEYS, block * 16 + 16); j++) {
          rows[i * PITCH + j] = kind === 2 ? 1 + (i + j) % 255 : 0;
        }
      }
      // one byte decides, the last of the block
      const [i, j] = [Math.min(ROWS, panel * 8 + 8) - 1, Math.min(KEYS, block * 16 + 16) - 1];
      if (kind === 1) rows[i * PITCH + j] = 1;
    }
  }
  return rows;
}

for (const level of ["relaxed", "plain"] as readonly SimdLevel[]) {
  Deno.test({
    name: `a mask is summed up by 8 rows and 16 keys, ${level}`,
    ignore: level === "relaxed" && detectSimd() === "plain",
    fn() {
      const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536 });
      const module = new WebAssembly.Module(kernelBytes(level, false));
      const kernels = instantiateKernels(module, memory);
      const pointer = HEAP_BYTE, plane = ROWS * PITCH, size: Axes = [2, 2, ROWS, KEYS];
      const strides: Axes = [2 * plane, plane, PITCH, 1];
      const mask: StagedPairs = { pointer, begin: [0, 0, 0, 0], size, strides };
      const target = pointer + 4 * plane;
      for (let n = 0; n < 4; n++) {
        new Uint8Array(memory.buffer).set(maskRows(n), pointer + n * plane);
      }
      for (const _pause of summarizeBlocks(kernels, mask, target));
      assert.ok(blocksBytes(size) >= 4 * PANELS * BLOCKS);
      const got = new Uint8Array(memory.buffer, target, 4 * PANELS * BLOCKS);
      const want = [0, 1, 2, 3].flatMap((seed) =>
        Array.from({ length: PANELS * BLOCKS }, (_, i) => {
          return (Math.floor(i / BLOCKS) * 2 + i % BLOCKS + seed) % 3;
        })
      );
      assert.deepEqual([...got], want);
    },
  });
}

Deno.test("the record of a summary points at batch, head and panel 0, and broadcasts with the mask", () => {
  const size: Axes = [1, 2, 64, 40], strides: Axes = [0, 0, 48, 1];
  const box: StagedPairs = { pointer: 0, begin: [1, 2, 256, 0], size, strides };
  const [, words] = blocksWords(box, [4, 8, 1000, 40], 5000);
  const [pointer, batch, head, panel, shift] = words as [...Axes, number];
  assert.equal(2 ** shift, 8, "rows of a panel");
  assert.deepEqual([batch, head, panel], [2 * 8 * 3, 8 * 3, 3]);
  assert.equal(pointer + batch + 2 * head + 256 / 8 * panel, 5000);
  const shared: StagedPairs = { ...box, begin: [0, 0, 0, 0], size: [1, 1, 1, 40] };
  assert.deepEqual(blocksWords(shared, [1, 1, 1, 40], 5000)[1], [5000, 0, 0, 0, 3]);
});
