/** How exact the functions of the tile interpreter are, and what they make of values at the ends of float32. */

import assert from "node:assert/strict";
import type { Program } from "../../src/expression/bytecode.ts";
import { encode } from "../../src/expression/encoding.ts";
import type { Opcode } from "../../src/expression/opcodes.ts";
import { openTileMachine } from "../expressions/tile_machine.ts";

const machine = await openTileMachine();
const KEYS = 48;
const place = { batch: 0, head: 0, kvHead: 0, lengthQ: 8, lengthK: KEYS, offset: 0 };
const lanes = Array.from({ length: 8 }, (_, query) => ({ query, head: 0 }));

/** Values of an instruction of one operand. */
function valuesOf(op: Opcode, xs: ArrayLike<number>): Float64Array {
  const program: Program = {
    sections: { lane: [], key: [], pair: [{ op, result: 0, operands: [0] }] },
    ...{
      registers: [],
      rows: { lane: 0, key: 0, pair: 0 },
      slope: false,
      fades: false,
      summed: [],
    },
  };
  const encoded = encode(program, KEYS), values = new Float64Array(xs.length);
  for (let from = 0; from < xs.length; from += 8 * KEYS) {
    const scores = new Float32Array(8 * KEYS);
    scores.set(Float32Array.from(xs).subarray(from, from + 8 * KEYS));
    const ran = machine.run(encoded, place, 1, { lanes, key: 0, keys: KEYS, scores }, 1);
    values.set(ran.scores.subarray(0, Math.min(8 * KEYS, xs.length - from)), from);
  }
  return values;
}

/** Numbers of float32 between two, evenly spread. */
function spread(low: number, high: number): Float32Array {
  const count = 100 * 8 * KEYS;
  return Float32Array.from({ length: count }, (_, n) => low + (high - low) * n / (count - 1));
}

/** The largest error, relative to `scale` of the exact value. */
function worst(
  op: Opcode,
  xs: Float32Array,
  exact: (x: number) => number,
  scale: (y: number) => number = Math.abs,
): number {
  const values = valuesOf(op, xs);
  return xs.reduce((most, x, n) => {
    const y = exact(x);
    return y === 0 ? most : Math.max(most, Math.abs(values[n]! - y) / scale(y));
  }, 0);
}

/** Values that a function has at some places, exactly. */
function assertValues(op: Opcode, cases: readonly (readonly [x: number, y: number])[]): void {
  const values = valuesOf(op, cases.map(([x]) => x));
  cases.forEach(([x, y], n) => assert.ok(Object.is(values[n], y), `${op}(${x}) is ${values[n]}`));
}

const SMALLEST = 2 ** -149, LARGEST = 3.4028234663852886e38;

Deno.test("exp", () => {
  assert.ok(worst("exp", spread(-87, 88.7), Math.exp) < 1.5e-7);
  assert.ok(worst("exp", spread(-1, 1), Math.exp) < 1.5e-7);
  assert.ok(worst("exp", spread(-103, -87), Math.exp, () => SMALLEST) <= 1.01);
  assertValues("exp", [
    ...[[0, 1], [-0, 1], [Infinity, Infinity], [-Infinity, 0], [NaN, NaN]] as const,
    ...[[89, Infinity], [-104, 0], [LARGEST, Infinity], [-LARGEST, 0]] as const,
  ]);
});

Deno.test("tanh", () => {
  assert.ok(worst("tanh", spread(-11, 11), Math.tanh) < 2e-7);
  assert.ok(worst("tanh", spread(-1e-3, 1e-3), Math.tanh) < 2.4e-7);
  assertValues("tanh", [
    ...[[0, 0], [-0, -0], [Infinity, 1], [-Infinity, -1], [LARGEST, 1], [NaN, NaN]] as const,
  ]);
});

Deno.test("log", () => {
  assert.ok(worst("log", spread(0.4, 2.5), Math.log) < 2e-7);
  assert.ok(worst("log", spread(SMALLEST, 1e-37), Math.log) < 2e-7);
  assert.ok(worst("log", spread(1, LARGEST), Math.log) < 2e-7);
  assertValues("log", [
    ...[[1, 0], [0, -Infinity], [-0, -Infinity], [Infinity, Infinity]] as const,
    ...[[-1, NaN], [-Infinity, NaN], [NaN, NaN]] as const,
  ]);
});

Deno.test("sin and cos", () => {
  for (const op of ["sin", "cos"] as const) {
    for (const reach of [1, 100, 10000]) {
      assert.ok(worst(op, spread(-reach, reach), Math[op], () => 1) < 1e-7, `${op} ${reach}`);
    }
  }
  assert.ok(worst("sin", spread(-1e-3, 1e-3), Math.sin) < 1e-7);
  assertValues("cos", [[0, 1], [-0, 1], [Infinity, NaN], [NaN, NaN]]);
  assertValues("sin", [[0, 0], [-Infinity, NaN], [NaN, NaN]]);
});
