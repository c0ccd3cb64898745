/** Places in one array: no two results that are accepted share an element, and no result has one twice. */

import assert from "node:assert/strict";
import type { HostTensor } from "../../mod.ts";
import { backwardCall, forwardCall } from "../../src/problem/into.ts";
import { randomNumbers } from "../random.ts";

const SHAPE = [2, 3, 2, 4] as const; // [batch, row, head, column]
const tensor = (shape: readonly number[] = SHAPE): HostTensor<Float32Array> => ({
  data: new Float32Array(shape.reduce((n, size) => n * size)),
  shape,
});
const rows = () => tensor([2, 2, 3]);

/** Whether q and k may have their gradients there: what was wrong with them, where not. */
function refusal(dq: HostTensor, dk: HostTensor): string {
  const saved = { q: tensor(), k: tensor(), v: tensor(), out: tensor(), lse: rows() };
  try {
    backwardCall(tensor(), saved, { into: { dq, dk } });
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

/** Every element of a tensor in the buffer that it lies in. */
function places({ data, shape, strides }: HostTensor): number[] {
  const found: number[] = [], [batches, lines, heads, columns] = shape;
  for (let n = 0; n < batches! * lines! * heads! * columns!; n++) {
    const index = [
      Math.floor(n / (lines! * heads! * columns!)),
      Math.floor(n / (heads! * columns!)) % lines!,
      Math.floor(n / columns!) % heads!,
      n % columns!,
    ];
    found.push(index.reduce((at, i, axis) => at + i * strides![axis]!, data.byteOffset / 4));
  }
  return found;
}

Deno.test("results at random places of one array share no element", () => {
  const random = randomNumbers(7), below = (n: number) => Math.floor(random() * n);
  const counts = { accepted: 0, shared: 0, folded: 0 };
  for (let n = 0; n < 20000; n++) {
    const room = new Float32Array(600);
    const one = () => {
      // heads that lie beside each other, rows some way apart, and sequences behind them, or nearly so
      const head = [4, 4, 8, 3 + below(9)][below(4)]!, row = [2 * head, 5 + below(40)][below(2)]!;
      const strides = [[3 * row, 2 * row + 5 + below(60)][below(2)]!, row, head, 1];
      return { data: room.subarray(below(120)), shape: SHAPE, strides };
    };
    const dq = one(), dk = below(2) ? one() : { ...one(), strides: dq.strides };
    const found = refusal(dq, dk), [a, b] = [places(dq), places(dk)];
    const folds = [a, b].some((all) => new Set(all).size < all.length);
    const shares = b.some((at) => a.includes(at));
    if (folds) counts.folded++;
    if (shares) counts.shared++;
    if (folds) assert.match(found, /a place of its own|shares memory/);
    else if (shares) assert.match(found, /a place of its own|shares memory with into\.dq/);
    else if (found === "") counts.accepted++;
  }
  for (const count of Object.values(counts)) assert.ok(count > 1000, JSON.stringify(counts));
});

Deno.test("results side by side, and rows of one between those of another, are accepted", () => {
  const room = new Float32Array(200), shape = [...SHAPE], lse = 12 * 4;
  const [q, k, v] = [tensor(), tensor(), tensor()];
  for (const [first, second] of [[0, lse], [12, 0]] as const) {
    const into = {
      out: { data: room.subarray(first, first + lse), shape },
      lse: { data: room.subarray(second, second + 12), shape: [2, 2, 3] },
    };
    assert.ok(forwardCall(q, k, v, { into }).into);
  }
  const strides = [48, 16, 8, 1]; // columns of dq, then of dk
  assert.equal(
    refusal({ data: room, shape, strides }, { data: room.subarray(4), shape, strides }),
    "",
  );
  const apart = { data: room.subarray(3), shape, strides };
  assert.match(
    refusal({ data: room, shape, strides }, apart),
    /into\.dk shares memory with into\.dq/,
  );
});
