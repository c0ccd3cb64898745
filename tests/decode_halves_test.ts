/**
 * Decode widens float16 and bfloat16 in the registers of its tiles: the twin is the same call on the same numbers in
 * float32, with what such tiles find hard: odd numbers of keys, subnormal numbers, infinity and NaN, and large queries.
 */
import assert from "node:assert/strict";
import { attentionSync } from "../src/wasm.ts";
import type { AttentionOptions, HostTensor } from "../mod.ts";
import { decode, encode } from "./half.ts";
import { normalNumbers } from "./random.ts";

const TYPES = ["f16", "bf16"] as const;
type Half = typeof TYPES[number];

interface Rows {
  readonly half: HostTensor<Uint16Array>;
  readonly wide: HostTensor<Float32Array>;
}

/** Rows of one kv head in both types; `special` are put at places of their own. */
function rows(dtype: Half, seed: number, keys: number, dim: number, special: Special = {}): Rows {
  const numbers = normalNumbers(seed, keys * dim).map((x, n) => special[n] ?? x);
  const bits = encode(numbers, dtype) as Uint16Array, shape = [1, keys, 1, dim];
  return {
    half: { data: bits, shape, dtype },
    wide: { data: Float32Array.from(decode(bits, dtype)), shape },
  };
}

type Special = Readonly<Record<number, number>>;

interface Call {
  readonly heads: number;
  readonly keys: number;
  readonly dim: number;
  readonly valueDim?: number;
  readonly k?: Special;
  readonly v?: Special;
  /** What queries are multiplied by. */
  readonly large?: number;
  readonly options?: AttentionOptions;
}

/** Outputs of a call on 16-bit keys and values, and of its twin. */
function both(dtype: Half, call: Call): readonly [got: Float32Array, want: Float32Array] {
  const { heads, keys, dim, valueDim = dim, k, v, large = 1, options = {} } = call;
  const q = {
    data: Float32Array.from(normalNumbers(1, heads * dim, large)),
    shape: [1, 1, heads, dim],
  };
  const [a, b] = [rows(dtype, 2, keys, dim, k), rows(dtype, 3, keys, valueDim, v)];
  const got = attentionSync(q, a.half, b.half, options).out;
  const want = attentionSync(q, a.wide, b.wide, options).out;
  return [got.data as Float32Array, want.data as Float32Array];
}

/** Sums of products in another order: a few units in the last place of the largest value. */
function assertTwins(dtype: Half, call: Call, bound: number = 3e-6): void {
  const [got, want] = both(dtype, call), about = `${dtype} ${JSON.stringify(call)}`;
  assert.equal(got.length, want.length);
  got.forEach((x, n) => {
    if (Number.isNaN(want[n]!)) return assert(Number.isNaN(x), `${about}: ${x} at ${n}, not NaN`);
    const far = Math.abs(x - want[n]!);
    assert(x === want[n] || far <= bound, `${about}: ${x} at ${n}, not ${want[n]}`);
  });
}

for (const dtype of TYPES) {
  Deno.test(`decode on ${dtype} is decode on the same numbers in float32`, () => {
    for (const heads of [1, 2, 3, 4, 5]) {
      for (const [keys, dim] of [[1, 8], [2, 16], [7, 40], [67, 128], [601, 64]] as const) {
        assertTwins(dtype, { heads, keys, dim });
        assertTwins(dtype, { heads, keys, dim, valueDim: 24 });
        assertTwins(dtype, { heads, keys, dim, valueDim: 20 }); // not whole groups of eight
      }
    }
  });

  Deno.test(`decode on ${dtype}: subnormal numbers and both zeros`, () => {
    const small = dtype === "f16" ? 2 ** -24 : 2 ** -133;
    const special = Object.fromEntries(
      Array.from({ length: 40 }, (_, n) => [n * 7, (n % 5 - 2) * small * (n + 1)]),
    );
    special[3] = -0;
    for (const heads of [1, 4]) {
      assertTwins(dtype, { heads, keys: 33, dim: 32, k: special, v: special });
    }
  });

  Deno.test(`decode on ${dtype}: what is not finite is seen where it is seen, and nowhere else`, () => {
    const dim = 32, row = 40 * dim; // row 40
    for (const heads of [1, 4]) {
      for (const value of [Infinity, -Infinity, NaN]) {
        for (const at of [row, row + 1, row + 31]) {
          const calls = [{ k: { [at]: value } }, { v: { [at]: value } }];
          for (const special of calls) {
            assertTwins(dtype, { heads, keys: 67, dim, ...special });
            const options = { keyLengths: [40] };
            assertTwins(dtype, { heads, keys: 67, dim, ...special, options });
            const [hidden] = both(dtype, { heads, keys: 67, dim, ...special, options });
            assert(hidden.every(Number.isFinite), "hidden rows say nothing");
          }
        }
      }
    }
  });

  Deno.test(`decode on ${dtype}: queries of any size`, () => {
    // scores so large that one key has all of the weight, and products that would overflow with a factor before them
    for (const large of [1e4, 1e6, 1e30]) {
      assertTwins(dtype, { heads: 4, keys: 35, dim: 64, large, options: { softmaxScale: 1 } });
    }
    assertTwins(dtype, { heads: 2, keys: 35, dim: 64, large: NaN });
  });

  Deno.test(`decode on ${dtype}: dropout, whose weights may be of any size`, () => {
    const options = { dropout: { probability: 0.999, seed: 3 } };
    assertTwins(dtype, { heads: 4, keys: 300, dim: 64, options }, 3e-3);
  });
}
