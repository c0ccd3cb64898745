/** copyBox against four nested loops. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { rowMajor } from "../../src/tensor/shape.ts";
import { type Axes, forAxes, type MutableAxes } from "../../src/tensor/view.ts";
import { copyBox, type Elements, type Side } from "../../src/tensor/copy.ts";

const seed = 20261120;

/** Element by element, in no clever order. */
function copyNaive(target: Side, source: Side, size: Axes): void {
  const place = ({ offset, strides }: Side, index: readonly number[]) =>
    index.reduce((sum, i, axis) => sum + i * strides[axis]!, offset);
  const [a, b, c, d] = size;
  for (let n = 0; n < a * b * c * d; n++) {
    const index = [
      Math.floor(n / (b * c * d)),
      Math.floor(n / (c * d)) % b,
      Math.floor(n / d) % c,
      n % d,
    ];
    target.array[place(target, index)] = source.array[place(source, index)]!;
  }
}

/** Strides that visit the axes in some order, with gaps; every element its own place. */
function spread(size: Axes, order: readonly number[], gaps: readonly number[]): MutableAxes {
  const strides: MutableAxes = [0, 0, 0, 0];
  let next = 1;
  order.forEach((axis, n) => {
    strides[axis] = next;
    next = next * Math.max(1, size[axis]!) + gaps[n]!;
  });
  return strides;
}

function reach(size: Axes, strides: Axes, offset: number): number {
  return size.reduce((last, n, axis) => last + Math.max(0, n - 1) * strides[axis]!, offset) + 1;
}

const axis = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 0, max: 6 }) },
  fc.constantFrom(1, 1, 95, 96, 130),
);
const size = fc.tuple(
  ...[0, 1, 2, 3].map(() => axis) as [typeof axis, typeof axis, typeof axis, typeof axis],
).filter((sizes) => sizes.reduce((a, b) => a * b, 1) <= 20000);
const order = fc.constantFrom(
  [3, 2, 1, 0],
  [3, 1, 2, 0],
  [3, 0, 1, 2],
  [3, 2, 0, 1],
  [2, 3, 1, 0],
  [0, 1, 2, 3],
);
const gaps = fc.tuple(...[0, 1, 2, 3].map(() => fc.constantFrom(0, 0, 0, 1, 5)));

/** Runs both on copies of one target and compares every element, those outside the box too. */
function compare(
  make: (n: number) => Elements,
  target: Omit<Side, "array">,
  source: Side,
  box: Axes,
): void {
  const n = reach(box, target.strides, target.offset) + 3;
  const [got, want] = [make(n).fill(77), make(n).fill(77)];
  copyBox({ ...target, array: got }, source, box);
  copyNaive({ ...target, array: want }, source, box);
  assert.deepEqual(got, want);
}

Deno.test("copyBox moves any box between any strides as four loops do", () => {
  const offset = fc.nat(9);
  fc.assert(
    fc.property(
      size,
      order,
      gaps,
      offset,
      order,
      gaps,
      offset,
      (box, o1, g1, at, o2, g2, start) => {
        const strides = spread(box, o2, g2);
        const array = new Float32Array(reach(box, strides, start)).map((_, i) => i);
        compare((n) => new Float32Array(n), { offset: at, strides: spread(box, o1, g1) }, {
          array,
          offset: start,
          strides,
        }, box);
      },
    ),
    { seed, numRuns: 400 },
  );
});

Deno.test("copyBox repeats a source along axes of stride 0", () => {
  const repeats = fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.boolean());
  fc.assert(
    fc.property(size, order, gaps, repeats, (box, o, g, repeated) => {
      const whole = spread(box, [3, 2, 1, 0], g);
      const strides = forAxes((n) => repeated[n] ? 0 : whole[n]);
      const array = new Float32Array(reach(box, strides, 0)).map((_, i) => i + 1);
      compare((n) => new Float32Array(n), { offset: 0, strides: spread(box, o, g) }, {
        array,
        offset: 0,
        strides,
      }, box);
    }),
    { seed, numRuns: 400 },
  );
});

Deno.test("copyBox moves 16-bit words and bytes, in one run where both sides are packed", () => {
  const box: Axes = [2, 3, 50, 7];
  for (const make of [(n: number) => new Uint16Array(n), (n: number) => new Uint8Array(n)]) {
    const strides = rowMajor(box) as MutableAxes, array = make(2100).map((_, i) => i * 7);
    compare(make, { offset: 2, strides }, { array, offset: 0, strides }, box);
  }
});

Deno.test("copyBox of a box without elements touches nothing", () => {
  const strides: Axes = [8, 4, 2, 1], offset = 0;
  for (const axis of [0, 1, 2, 3]) {
    const target = new Float32Array(16).fill(3);
    const box = forAxes((n) => n === axis ? 0 : 2);
    copyBox(
      { array: target, offset, strides },
      { array: new Float32Array(0), offset, strides },
      box,
    );
    assert.ok(target.every((x) => x === 3));
  }
});
