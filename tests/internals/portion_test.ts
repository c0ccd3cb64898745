// Parts of calls that are calls of their own.
import assert from "node:assert/strict";
import { cutOf, portionCall } from "../../src/problem/portion.ts";
import { describeForward } from "../../src/problem/problem.ts";

const tensor = (shape: readonly number[]) => ({
  data: new Float32Array(shape.reduce((size, n) => size * n, 1)),
  shape,
});

Deno.test("parts have whole numbers of heads, whatever the numbers are", () => {
  for (const kvHeads of [2, 3, 7, 49, 98, 103]) { // 1 / 49 * 49 is less than 1
    const q = tensor([1, 2, 3 * kvHeads, 4]), k = tensor([1, 3, kvHeads, 4]);
    const call = describeForward(q, k, k, {}), cut = cutOf(call, {});
    if ("whole" in cut) throw new Error(cut.whole);
    const check = (from: number, to: number) => {
      const { problem, views } = portionCall(call, {}, cut, from, to), heads = to - from;
      assert.deepEqual([problem.kvHeads, problem.queryHeads], [heads, 3 * heads]);
      assert.deepEqual(views.k!.size, [1, heads, 3, 4]);
    };
    for (let border = 1; border < kvHeads; border++) {
      check(0, border);
      check(border, kvHeads);
    }
  }
});
