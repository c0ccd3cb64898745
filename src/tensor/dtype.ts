// Storage types of tensors. Arithmetic is float32 whatever the storage.

/**
 * How the values of a tensor are stored: IEEE float32 and float16, bfloat16, signed bytes; bytes of a mask; 32-bit integers
 * where a result counts keys.
 */
export type DType = "f32" | "f16" | "bf16" | "i8" | "bool" | "i32";

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
export type TensorData =
  | Float32Array
  | Uint16Array
  | Int8Array
  | Uint8Array
  | Int32Array
  | Float16ArrayLike;

/** What copies move: values as the integers or floats that they are stored as. */
export type StoredValues = Float32Array | Uint16Array | Int8Array | Uint8Array | Int32Array;

/** Bytes of one value. */
export const BYTES: { readonly [T in DType]: number } = {
  f32: 4,
  f16: 2,
  bf16: 2,
  i8: 1,
  bool: 1,
  i32: 4,
};

const nameOf = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)!.get!;

/**
 * The kind of a typed array, like `"Float32Array"`; undefined for what is none. By its brand: typed arrays of
 * other realms (frames, `node:vm`, test runners) have classes of their own.
 */
export function arrayKind(value: unknown): string | undefined {
  return nameOf.call(value) as string | undefined;
}

/** The type an array implies by itself; undefined for 16-bit integers, which may be f16 or bf16. */
export function impliedDType(data: ArrayBufferView): DType | undefined {
  if (data instanceof Float32Array) return "f32"; // the common case, at once
  if (isFloat16Array(data)) return "f16";
  switch (arrayKind(data)) {
    case "Float32Array":
      return "f32"; // of another realm
    case "Int8Array":
      return "i8";
    case "Uint8Array":
      return "bool";
    default:
      return undefined;
  }
}

/** Whether an array can hold a type. */
export function canHold(data: ArrayBufferView, dtype: DType): boolean {
  const implied = impliedDType(data);
  if (implied !== undefined) return implied === dtype;
  const kind = arrayKind(data);
  if (kind === "Int32Array") return dtype === "i32";
  return kind === "Uint16Array" && (dtype === "f16" || dtype === "bf16");
}

/** Whether an array is a `Float16Array`, also where the class does not exist. */
export function isFloat16Array(data: ArrayBufferView): data is Float16ArrayLike {
  return Object.prototype.toString.call(data) === "[object Float16Array]";
}

/** The bits of an array of a type, as the integers or floats that copies move. */
export function bits(data: TensorData): StoredValues {
  if (isFloat16Array(data)) return new Uint16Array(data.buffer, data.byteOffset, data.length);
  return data as StoredValues;
}

/** A new array for values of a type: of the kind of `like` where two kinds hold it. */
export function newArray(dtype: DType, n: number, like: TensorData | undefined): TensorData {
  if (dtype === "f32") return new Float32Array(n);
  if (dtype === "i32") return new Int32Array(n);
  if (like && isFloat16Array(like)) {
    const Array16 = like.constructor as unknown as new (length: number) => TensorData;
    return new Array16(n);
  }
  return new Uint16Array(n);
}
