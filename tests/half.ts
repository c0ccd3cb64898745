/**
 * The three storage formats as numbers, written apart from `src/tensor/dtype.ts` so that a mistake there cannot hide
 * behind the same mistake here.
 */

/** Arrays a test tensor may hold. */
export type StorageArray = Float32Array | Float16Array | Uint16Array;

/** Storage formats that the grid covers. */
export type StorageType = "f32" | "f16" | "bf16";

/** Largest relative error of rounding a real number to the format (half a unit in the last place). */
export const halfUlp: Record<StorageType, number> = {
  f32: 2 ** -24,
  f16: 2 ** -11,
  bf16: 2 ** -8,
};

/** Half of the smallest positive number: below it rounding is absolute, no longer relative. */
export const smallestHalfStep: Record<StorageType, number> = {
  f32: 2 ** -150,
  f16: 2 ** -25,
  bf16: 2 ** -134,
};

const word = new DataView(new ArrayBuffer(4));

/** The number that 16 bits of bfloat16 stand for: the upper half of a float32. */
export function bf16ToNumber(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}

/** The nearest bfloat16, ties to even. */
export function numberToBf16(value: number): number {
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  // Adding to the bits of a NaN could carry into infinity, so NaN keeps its upper half, made quiet.
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  const lowestKeptBit = (bits >>> 16) & 1;
  return (bits + 0x7fff + lowestKeptBit) >>> 16;
}

/** Every element of `data` as an exact float64. */
export function decode(data: StorageArray, type: StorageType): Float64Array<ArrayBuffer> {
  if (!(data instanceof Uint16Array)) return new Float64Array(data);
  if (type === "bf16") return Float64Array.from(data, bf16ToNumber);
  return new Float64Array(new Float16Array(data.buffer, data.byteOffset, data.length));
}

/** A new array in the wanted format; `"bits"` gives 16-bit formats as Uint16Array. */
export function encode(
  values: Float64Array,
  type: StorageType,
  storage: "bits" | "Float16Array" = "bits",
): StorageArray {
  if (type === "f32") return new Float32Array(values);
  if (type === "bf16") return Uint16Array.from(values, numberToBf16);
  const half = new Float16Array(values);
  return storage === "Float16Array" ? half : new Uint16Array(half.buffer);
}
