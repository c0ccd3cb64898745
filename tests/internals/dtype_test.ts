/** Storage types: every bit pattern of f16 and bf16 goes through an engine and comes out as it should. */

import assert from "node:assert/strict";
import { attentionSync, createEngine, type HostTensor } from "../../mod.ts";
import { bits, canHold, impliedDType } from "../../src/tensor/dtype.ts";
import { kernelBytes } from "../../src/wasm/module/kernel_bytes.ts";
import { instantiateKernels } from "../../src/wasm/module/module.ts";
import { DTypeCode } from "../../asm/abi.ts";
import { bf16ToNumber, decode, encode, numberToBf16 } from "../half.ts";
import { normalNumbers } from "../random.ts";

type Half = "f16" | "bf16";
const halves: readonly Half[] = ["f16", "bf16"];
const all = Uint16Array.from({ length: 65536 }, (_, n) => n);

function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test({ name, sanitizeOps: false, sanitizeResources: false, fn });
}

/** Equal numbers; zeros of both signs are equal, and NaN is NaN. */
function assertSameNumbers(got: ArrayLike<number>, want: ArrayLike<number>, about: string): void {
  assert.equal(got.length, want.length);
  for (let n = 0; n < want.length; n++) {
    const same = got[n] === want[n] || (Number.isNaN(got[n]) && Number.isNaN(want[n]));
    if (!same) assert.fail(`${about}, element ${n}: ${got[n]}, want ${want[n]}`);
  }
}

/** Attention of `queries` queries on one key: out repeats v, and is stored as q is. */
function throughOneKey(
  v: HostTensor["data"],
  type: HostTensor["dtype"],
  storage: HostTensor["dtype"],
  queries: number,
) {
  const [rows, columns] = [256, v.length / 256];
  const zeros = (shape: number[]): HostTensor => {
    const n = shape.reduce((a, b) => a * b, 1);
    const data = storage === "f32" ? new Float32Array(n) : new Uint16Array(n);
    return { data, shape, dtype: storage };
  };
  const value: HostTensor = { data: v, shape: [1, 1, rows, columns], dtype: type };
  const { out } = attentionSync(zeros([1, queries, rows, 1]), zeros([1, 1, rows, 1]), value);
  assert.equal(out.dtype, storage);
  const last = out.data.length - v.length; // the last query
  return out.data instanceof Float32Array
    ? out.data.subarray(last)
    : (out.data as Uint16Array).subarray(last);
}

for (const type of halves) {
  // 1 query: decode, which reads 16-bit values in place where k has the same type; 20: forward
  for (const queries of [1, 20]) {
    test(`all 65536 patterns of ${type} are widened exactly, ${queries} queries`, () => {
      for (const storage of ["f32", type] as const) {
        const got = throughOneKey(all, type, storage, queries);
        const numbers = got instanceof Float32Array ? got : decode(got, type);
        assertSameNumbers(numbers, decode(all, type), `${type} as ${storage}`);
      }
    });
  }

  test(`all 65536 patterns of ${type} come back bit for bit but for NaN and the sign of zero`, () => {
    const got = throughOneKey(all, type, type, 20);
    assert.ok(got instanceof Uint16Array);
    const numbers = decode(all, type);
    all.forEach((pattern) => {
      if (numbers[pattern] === 0 || Number.isNaN(numbers[pattern])) return;
      assert.equal(got[pattern], pattern);
    });
  });

  test(`f32 is rounded to ${type} to nearest, ties to even, at every border between two values`, () => {
    const numbers = decode(all, type), f32 = new Float32Array(1), word = new Int32Array(f32.buffer);
    const samples: number[] = [];
    for (let n = 0; n < 65536; n++) {
      const low = numbers[n]!, high = numbers[n + 1 & 65535]!;
      if (!Number.isFinite(low)) continue;
      // above the largest value the border is where the next one would be
      const middle = Number.isFinite(high) ? low / 2 + high / 2 : low + (low - numbers[n - 1]!) / 2;
      f32[0] = middle;
      for (const step of [-1, 0, 1]) {
        f32[0] = middle;
        word[0]! += step;
        samples.push(f32[0]);
      }
    }
    samples.push(1e-45, -1e-45, 3.4e38, -3.4e38, Infinity, -Infinity, NaN);
    while (samples.length % 256) samples.push(1);
    const values = Float32Array.from(samples);
    const got = throughOneKey(values, "f32", type, 20);
    const want = encode(Float64Array.from(values), type) as Uint16Array;
    assert.ok(got instanceof Uint16Array);
    assertSameNumbers(decode(got, type), decode(want, type), type);
  });
}

Deno.test("the conversions of both builds agree with half.ts, NaN stays NaN, signs of zero included", () => {
  for (const level of ["relaxed", "plain"] as const) {
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536 });
    const { widen, narrow } = instantiateKernels(
      new WebAssembly.Module(kernelBytes(level, false)),
      memory,
    );
    const [from, wide, back] = [65536, 3 * 65536, 8 * 65536];
    const words = (at: number, n: number) => new Uint16Array(memory.buffer, at, n);
    for (const [type, code] of [["f16", DTypeCode.F16], ["bf16", DTypeCode.BF16]] as const) {
      words(from, 65536).set(all);
      // a length that is no multiple of four takes the tail as well
      for (const [begin, n] of [[0, 65536], [1, 7], [31743, 3], [65530, 5]] as const) {
        widen(from + begin * 2, wide, n, code);
        const floats = new Float32Array(memory.buffer, wide, n);
        const want = decode(all.slice(begin, begin + n), type);
        floats.forEach((x, i) => assert.ok(Object.is(x, want[i]), `${type} ${begin + i}: ${x}`));
        narrow(wide, back, n, code);
        words(back, n).forEach((pattern, i) => {
          if (Number.isNaN(want[i])) {
            assert.ok(Number.isNaN(decode(words(back + i * 2, 1), type)[0]));
          } else assert.equal(pattern, begin + i);
        });
      }
    }
  }
});

Deno.test("the test's own bfloat16 is the upper half of a float32", () => {
  for (const x of normalNumbers(3, 1000, 100)) {
    const near = bf16ToNumber(numberToBf16(x));
    assert.ok(Math.abs(near - x) <= Math.abs(x) * 2 ** -8);
  }
});

test("Float16Array in gives Float16Array out, Uint16Array gives Uint16Array, results name their type", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const shape = [1, 3, 2, 4], values = normalNumbers(1, 24);
  const tensor = (data: HostTensor["data"], dtype?: HostTensor["dtype"]): HostTensor => ({
    data,
    shape,
    dtype,
  });
  const cases = [
    [tensor(Float16Array.from(values)), Float16Array, "f16"],
    [tensor(encode(values, "f16"), "f16"), Uint16Array, "f16"],
    [tensor(encode(values, "bf16"), "bf16"), Uint16Array, "bf16"],
    [tensor(encode(values, "f32")), Float32Array, "f32"],
  ] as const;
  for (const [x, kind, dtype] of cases) {
    const { out, lse } = await engine.attention(x, x, x);
    assert.ok(out.data instanceof kind);
    assert.equal(out.dtype, dtype);
    assert.ok(lse.data instanceof Float32Array);
    const { dq, dk, dv } = await engine.attentionBackward(x, { q: x, k: x, v: x, out, lse });
    for (const gradient of [dq, dk, dv]) assert.ok(gradient.data instanceof kind);
  }
});

test("f16 operands on storage of both kinds and resident give the same bits", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  for (const length of [1, 40]) {
    const shape = [1, length, 2, 12], half = Float16Array.from(normalNumbers(4, length * 24));
    const words = new Uint16Array(half.buffer);
    const one = { data: half, shape }, two: HostTensor = { data: words, shape, dtype: "f16" };
    const want = await engine.attention(one, one, one);
    const got = await engine.attention(two, two, two);
    assert.deepEqual(got.out.data, new Uint16Array((want.out.data as Float16Array).buffer));
    using resident = engine.tensor(half, shape);
    const { out, lse } = await engine.attention(resident, resident, resident);
    assert.deepEqual(await out.read(), got.out.data);
    assert.deepEqual(await lse.read(), want.lse.data);
    out.dispose();
    lse.dispose();
  }
});

Deno.test("dtypes follow from arrays but for Uint16Array", () => {
  assert.equal(impliedDType(new Float32Array(1)), "f32");
  assert.equal(impliedDType(new Float16Array(1)), "f16");
  assert.equal(impliedDType(new Int8Array(1)), "i8");
  assert.equal(impliedDType(new Uint16Array(1)), undefined);
  assert.ok(canHold(new Uint16Array(1), "bf16") && canHold(new Uint16Array(1), "f16"));
  assert.ok(!canHold(new Float16Array(1), "bf16") && !canHold(new Float32Array(1), "f16"));
  const half = new Float16Array(8).subarray(2, 5);
  half[0] = 1;
  assert.deepEqual(bits(half), Uint16Array.of(0x3c00, 0, 0), "the same memory, as words");
});
