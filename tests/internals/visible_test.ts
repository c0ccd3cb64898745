/** Counting what a span lets through, and cutting keys into shares. */

import assert from "node:assert/strict";
import fc from "fast-check";
import type { SequenceSpan } from "../../src/problem/features/feature.ts";
import { UNBOUNDED } from "../../src/problem/features/feature.ts";
import { cutKeys, visibleKeys, visiblePairs } from "../../src/plan/visible.ts";

const seed = 20261120;
const length = fc.integer({ min: 0, max: 60 });
const bound = (far: number) =>
  fc.oneof({ weight: 4, arbitrary: fc.integer({ min: -80, max: 80 }) }, fc.constant(far));

const spans: fc.Arbitrary<SequenceSpan> = fc.record({
  lengthQ: length,
  lengthK: length,
  offset: fc.constant(0),
  low: bound(-UNBOUNDED),
  high: bound(UNBOUNDED),
});

function isVisible(span: SequenceSpan, i: number, j: number): boolean {
  return j < span.lengthK && span.low <= j - i && j - i <= span.high;
}

/** Visible pairs of a rectangle, one by one. */
function countPairs(span: SequenceSpan, r0: number, r1: number, k0: number, k1: number): number {
  let pairs = 0;
  for (let i = r0; i < r1; i++) {
    for (let j = k0; j < k1; j++) {
      pairs += isVisible(span, i, j) ? 1 : 0;
    }
  }
  return pairs;
}

Deno.test("visibleKeys is the range of the visible keys of a query", () => {
  fc.assert(
    fc.property(spans, fc.nat(60), (span, i) => {
      const [begin, end] = visibleKeys(span, i);
      for (let j = 0; j < 70; j++) assert.equal(begin <= j && j < end, isVisible(span, i, j));
    }),
    { seed, numRuns: 300 },
  );
});

Deno.test("visiblePairs counts what a loop over all pairs counts", () => {
  fc.assert(
    fc.property(spans, length, length, length, length, (span, r0, rows, k0, keys) => {
      const got = visiblePairs(span, r0, r0 + rows, k0, k0 + keys);
      assert.equal(got, countPairs(span, r0, r0 + rows, k0, k0 + keys));
    }),
    { seed, numRuns: 500 },
  );
});

Deno.test("cutKeys covers all keys once, in order, at multiples of the step", () => {
  const cut = fc.tuple(
    spans,
    fc.nat(20),
    fc.integer({ min: 1, max: 7 }),
    fc.integer({ min: 1, max: 48 }),
  );
  fc.assert(
    fc.property(cut, ([span, padding, parts, step]) => {
      const lengthK = span.lengthK + padding; // keys beyond the length of the sequence
      const cuts = cutKeys(span, [0, span.lengthQ], lengthK, parts, step);
      assert.equal(cuts.length, parts);
      assert.equal(cuts[0]![0], 0);
      assert.equal(cuts[parts - 1]![1], lengthK);
      cuts.forEach(([begin, end], part) => {
        assert.ok(begin <= end);
        if (part > 0) assert.equal(begin, cuts[part - 1]![1]);
        assert.ok(end === lengthK || end % step === 0, `${end} is no multiple of ${step}`);
      });
    }),
    { seed, numRuns: 500 },
  );
});

Deno.test("cutKeys makes shares that differ by no more than one step of keys costs", () => {
  const cut = fc.tuple(spans, fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 48 }));
  fc.assert(
    fc.property(cut, ([span, parts, step]) => {
      const { lengthQ, lengthK } = span;
      const cost = (begin: number, end: number) => countPairs(span, 0, lengthQ, begin, end);
      let largest = 0;
      for (let j = 0; j < lengthK; j += step) largest = Math.max(largest, cost(j, j + step));
      const fair = cost(0, lengthK) / parts;
      for (const [begin, end] of cutKeys(span, [0, span.lengthQ], lengthK, parts, step)) {
        assert.ok(cost(begin, end) <= fair + largest, `${begin}..${end} costs too much`);
      }
    }),
    { seed, numRuns: 300 },
  );
});

Deno.test("cutKeys balances a long causal sequence within a few percent", () => {
  const span = { lengthQ: 4096, lengthK: 4096, offset: 0, low: -UNBOUNDED, high: 0 };
  const fair = visiblePairs(span, 0, 4096, 0, 4096) / 4;
  for (const [begin, end] of cutKeys(span, [0, span.lengthQ], 4096, 4, 48)) {
    const share = visiblePairs(span, 0, 4096, begin, end) / fair;
    assert.ok(Math.abs(share - 1) < 0.05, `${begin}..${end} has ${share} of a fair share`);
  }
});
