// Storage types as numbers and back, on the host. Rounding is to nearest, ties to even, as in the kernels.
import type { DType } from "./dtype.ts";

const float = new Float32Array(1), word = new Uint32Array(float.buffer);

/** Bits of the nearest float16 to a float32 given by its bits. */
function halfBits(x: number): number {
  const sign = x >>> 16 & 0x8000, size = x & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00; // NaN
  if (size >= 0x477ff000) return sign | 0x7c00; // 65520 and more round to infinity
  if (size < 0x38800000) { // below the normal numbers: the last place of 0.5 is that of the smallest
    word[0] = size;
    float[0]! += 0.5;
    return sign | word[0] - 0x3f000000;
  }
  const exponent = size - 0x38000000; // of float16
  return sign | exponent + 0xfff + (exponent >>> 13 & 1) >>> 13;
}

/** Bits of the nearest bfloat16 to a float32 given by its bits. */
function brainBits(x: number): number {
  if ((x & 0x7fffffff) > 0x7f800000) return x >>> 16 | 0x40; // NaN, which a carry could make infinite
  return x + 0x7fff + (x >>> 16 & 1) >>> 16;
}

/** Float32 values in 16 bits. */
export function narrowed(values: Float32Array, dtype: DType): Uint16Array {
  if (values.length === 0) return new Uint16Array(0); // of a buffer that was transferred, perhaps
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(bits.length), one = dtype === "f16" ? halfBits : brainBits;
  for (let n = 0; n < bits.length; n++) result[n] = one(bits[n]!);
  return result;
}

/** The float32 with these bits of a float16. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1, exponent = bits >>> 10 & 31, mantissa = bits & 0x3ff;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + mantissa) * 2 ** (exponent - 25) : mantissa * 2 ** -24);
}

/** 16-bit values as float32. */
export function widened(values: Uint16Array, dtype: DType): Float32Array {
  const result = new Float32Array(values.length);
  if (dtype === "bf16") {
    const bits = new Uint32Array(result.buffer);
    for (let n = 0; n < values.length; n++) bits[n] = values[n]! << 16;
  } else {
    for (let n = 0; n < values.length; n++) result[n] = halfValue(values[n]!);
  }
  return result;
}
