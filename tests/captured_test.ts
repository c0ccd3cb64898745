/** Gradients of captured arrays as callers meet them: a map of those that want one. */

import assert from "node:assert/strict";
import { attentionBackwardSync, attentionSync, captured, type ScoreMod, scoreMod } from "../mod.ts";
import { plainTensor } from "./inputs.ts";

const { test } = Deno;
const q = plainTensor(1, [2, 9, 4, 8]), k = plainTensor(2, [2, 12, 2, 8]);
const v = plainTensor(3, [2, 12, 2, 8]), dOut = plainTensor(4, [2, 9, 4, 8]);

function gradientsOf(mod: ScoreMod, more: object = {}) {
  const options = { scoreMod: mod, ...more };
  return attentionBackwardSync(dOut, { q, k, v, ...attentionSync(q, k, v, options) }, options);
}

test("each array that wants a gradient is a key, and its gradient has its shape", () => {
  const table = captured(new Float32Array(4 * 12), [4, 3, 4], { gradient: true });
  const gain = captured(Float32Array.of(1.5), [], { gradient: true });
  const given = captured(new Float32Array(4).fill(1), [4]);
  const { dCaptured } = gradientsOf(
    scoreMod(({ score, head, key }) =>
      score.mul(gain.at()).add(table.at(head, key.floorDiv(4), key.mod(4))).mul(given.at(head))
    ),
  );
  assert.deepEqual(new Set(dCaptured!.keys()), new Set([table, gain]));
  assert.deepEqual(dCaptured!.get(table)!.shape, [4, 3, 4]);
  assert.equal(dCaptured!.get(table)!.data.length, 48);
  assert.deepEqual(dCaptured!.get(gain)!.shape, []);
  assert.ok(dCaptured!.get(gain)!.data instanceof Float32Array);
});

test("a slope that a function learns has the gradient of alibiSlopes, and a table that of a bias", () => {
  const slopes = Float32Array.of(0.1, 0.2, 0.05, 0.3),
    learned = captured(slopes, [4], {
      gradient: true,
    });
  const twin = attentionBackwardSync(
    dOut,
    { q, k, v, ...attentionSync(q, k, v, { alibiSlopes: { data: slopes, shape: [4] } }) },
    { alibiSlopes: { data: slopes, shape: [4] } },
  ).dAlibiSlopes!;
  const { dCaptured } = gradientsOf(
    scoreMod(({ score, head, diagonal, key }) =>
      score.sub(learned.at(head).mul(diagonal.sub(key).abs().toFloat()))
    ),
  );
  near(dCaptured!.get(learned)!.data, values(twin));
  const table = plainTensor(5, [1, 4, 9, 12]), bias = { data: table.data, shape: table.shape };
  const own = captured(table.data as Float32Array, [4, 9, 12], { gradient: true });
  const { dBias } = attentionBackwardSync(
    dOut,
    { q, k, v, ...attentionSync(q, k, v, { bias }) },
    { bias },
  );
  const sums = gradientsOf(
    scoreMod(({ score, head, query, key }) => score.add(own.at(head, query, key))),
  ).dCaptured!;
  near(sums.get(own)!.data, values(dBias!));
});

function near(got: Float32Array, want: Float32Array): void {
  assert.equal(got.length, want.length);
  const size = Math.max(...want.map(Math.abs));
  got.forEach((x, n) => assert.ok(Math.abs(x - want[n]!) <= 2e-6 * size, `${n}: ${x}, ${want[n]}`));
}

/** The values of a gradient in host memory. */
function values(tensor: object): Float32Array {
  return (tensor as { data: Float32Array }).data;
}

test("what only decides has a gradient of 0, and hidden pairs teach nothing", () => {
  const limit = captured(Float32Array.of(0.2), [], { gradient: true });
  const table = captured(new Float32Array(12), [12], { gradient: true });
  const mod = scoreMod(({ score, key }) =>
    score.gt(limit.at()).where(score.add(table.at(key)), score)
  );
  const { dCaptured } = gradientsOf(mod, { keyLengths: [5, 7] });
  assert.deepEqual([...dCaptured!.get(limit)!.data], [0]);
  const sums = [...dCaptured!.get(table)!.data];
  assert.ok(sums.slice(0, 7).every((x) => x !== 0));
  assert.deepEqual(sums.slice(7), [0, 0, 0, 0, 0]);
});

test("a call without such an array has none", () => {
  const given = captured(new Float32Array(4).fill(1), [4]);
  const gradients = gradientsOf(scoreMod(({ score, head }) => score.mul(given.at(head))));
  assert.ok(!("dCaptured" in gradients));
});

test("no query and no key: gradients of 0", () => {
  const gain = captured(Float32Array.of(1.5), [], { gradient: true });
  const options = { scoreMod: scoreMod(({ score }) => score.mul(gain.at())) };
  const none = { data: new Float32Array(0), shape: [2, 0, 2, 8] };
  const saved = { q, k: none, v: none, ...attentionSync(q, none, none, options) };
  const { dCaptured } = attentionBackwardSync(dOut, saved, options);
  assert.deepEqual([...dCaptured!.get(gain)!.data], [0]);
});
