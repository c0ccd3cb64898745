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

Deno.test("what parts would do to each other or to their numbers is not cut", () => {
  const q = tensor([2, 3, 4, 8]), k = tensor([2, 5, 2, 8]);
  const call = describeForward(q, k, k, {}), { views } = call;
  assert.deepEqual(cutOf(call, {}), { axis: "kv heads", units: 2 });
  const whole = (of: typeof call, results: typeof views = {}) => {
    const cut = cutOf(of, results);
    return "whole" in cut ? cut.whole : "";
  };
  const resident = { ...views.k!, resident: true };
  assert.match(whole({ ...call, views: { ...views, k: resident } }), /live in one backend/);
  assert.match(whole(call, { out: resident }), /live in one backend/);
  const dropout = describeForward(q, k, k, { dropout: { probability: 0.5, seed: 1 } });
  assert.match(whole(dropout), /dropout asks for the numbers/);
  const dBias = { ...views.q!, name: "dBias", size: [1, 1, 3, 5] } as const;
  assert.match(whole(call, { dBias }), /all its kv heads add to dBias/);
  const one = describeForward(q, tensor([2, 5, 1, 8]), tensor([2, 5, 1, 8]), {});
  assert.deepEqual(cutOf(one, {}), { axis: "sequences", units: 2 });
  const packed = describeForward(tensor([3, 4, 8]), tensor([5, 1, 8]), tensor([5, 1, 8]), {
    ...{ cuSeqlensQ: [0, 1, 3], cuSeqlensK: [0, 2, 5] },
  });
  assert.match(whole(packed), /one kv head/);
});
