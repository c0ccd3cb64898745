// Storage types of tensors. Arithmetic is float32 whatever the storage.

/** How the values of a tensor are stored: IEEE float32 and float16, bfloat16, signed bytes. */
export type DType = "f32" | "f16" | "bf16" | "i8";

/** A `Float16Array`, named by what is used of it: not every host's type library has the class. */
export interface Float16ArrayLike extends ArrayBufferView {
  /** Number of values. */
  readonly length: number;
  /** The values. */
  readonly [index: number]: number;
  /** 2. */
  readonly BYTES_PER_ELEMENT: number;
  /** `"Float16Array"`. */
  readonly [Symbol.toStringTag]: string;
}

/** Arrays that tensors may hold. */
export type TensorData = Float32Array | Uint16Array | Int8Array | Float16ArrayLike;

/** Bytes of one value. */
export const BYTES: { readonly [T in DType]: number } = { f32: 4, f16: 2, bf16: 2, i8: 1 };

/** The type an array implies by itself; undefined for 16-bit integers, which may be f16 or bf16. */
export function impliedDType(data: ArrayBufferView): DType | undefined {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Int8Array) return "i8";
  if (isFloat16Array(data)) return "f16";
  return undefined;
}

/** Whether an array can hold a type. */
export function canHold(data: ArrayBufferView, dtype: DType): boolean {
  if (data instanceof Uint16Array) return dtype === "f16" || dtype === "bf16";
  return impliedDType(data) === dtype;
}

/** Whether an array is a `Float16Array`, also where the class does not exist. */
export function isFloat16Array(data: ArrayBufferView): data is Float16ArrayLike {
  return Object.prototype.toString.call(data) === "[object Float16Array]";
}

/** The bits of an array of a type, as the integers or floats that copies move. */
export function bits(data: TensorData): Float32Array | Uint16Array | Int8Array {
  if (isFloat16Array(data)) return new Uint16Array(data.buffer, data.byteOffset, data.length);
  return data as Float32Array | Uint16Array | Int8Array;
}
