/** Tables of rotary positions: what is in a row, and rows that the host turns. */

import assert from "node:assert/strict";
import { applyRotary } from "../../mod.ts";
import { parsePositions } from "../../src/problem/features/rotary_positions.ts";
import { turningRows } from "../../src/problem/features/row_rotation.ts";
import { rotaryTable, rotateRow } from "../../src/problem/features/rotary_table.ts";
import { Complaint } from "../../src/tensor/errors.ts";
import { halfUlp } from "../half.ts";
import { plainTensor } from "../inputs.ts";

Deno.test("a table is exact in float32, and a position has the same row in every table", () => {
  const form = { dims: 64, interleaved: false, base: 10000 };
  const positions = [0, 1, -1, 63, 64, 65, -64, 4095, 1e6, 1e6 + 1, -1e6, 2 ** 31 - 1, -(2 ** 31)];
  const all = rotaryTable(form, positions);
  positions.forEach((position, n) => {
    assert.deepEqual(all.slice(64 * n, 64 * n + 64), rotaryTable(form, [position]));
    for (let p = 0; p < 32; p++) {
      const angle = position * 10000 ** (-2 * p / 64);
      // the product that is the angle is rounded in float64, here as there
      const bound = halfUlp.f32 + Math.abs(angle) * 2 ** -52;
      const [cos, sin] = [all[64 * n + p]!, all[64 * n + 32 + p]!];
      assert.ok(Math.abs(cos - Math.cos(angle)) <= bound, `cos of ${position}, pair ${p}`);
      assert.ok(Math.abs(sin - Math.sin(angle)) <= bound, `sin of ${position}, pair ${p}`);
    }
  });
});

Deno.test("rows that the host turns have the bits of the kernel", () => {
  for (const interleaved of [false, true]) {
    for (const [dim, dims] of [[64, 64], [20, 12], [9, 6], [7, 2], [40, 38]] as const) {
      for (const inverse of [false, true]) {
        const { data, shape } = plainTensor(dim, [1, 11, 2, dim]), form = { dims, interleaved };
        const rows = (data as Float32Array).slice();
        const turns = rotaryTable(
          { ...form, base: 10000 },
          Array.from({ length: 11 }, (_, n) => n),
        );
        for (let n = 0; n < 22; n++) {
          rotateRow(rows, n * dim, turns, Math.floor(n / 2), form, inverse);
        }
        const got = applyRotary({ data: data as Float32Array, shape }, { ...form, inverse });
        assert.deepEqual(got.data, rows, `${dims} of ${dim}${interleaved ? ", interleaved" : ""}`);
      }
    }
  }
});

Deno.test("positions of packed rows may leave out those behind the last sequence", () => {
  const packed = { starts: [0, 4, 9], rows: 12 }, rows = { batch: 2, length: 5, packed };
  const parse = (n: number) =>
    parsePositions("positions", new Int32Array(n), rows, new Complaint("test"))!.starts;
  assert.deepEqual([parse(5), parse(9), parse(12)], [[0, 0], [0, 4], [0, 4]]);
  assert.throws(() => parse(10), /10 entries.*Int32Array of 5.*or of 12/);
});

Deno.test("a part behind the rows that turn has none of them", () => {
  const sequences = [{ first: 3, count: 5 }], table = new Float32Array(16);
  const rotation = { dims: 2, interleaved: false, table, sequences };
  for (
    const [begin, end, count] of [[0, 9, 5], [2, 4, 2], [4, 9, 1], [5, 9, 0], [7, 9, 0]] as const
  ) {
    assert.deepEqual(turningRows(rotation, 0, [begin, end]), { first: 3 + begin, count });
  }
});
