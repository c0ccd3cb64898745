// Tensors: what callers pass and get back, host and resident alike.
import type { DType, TensorData } from "./dtype.ts";
import type { HostGpuBuffer } from "./gpu_types.ts";

/**
 * A tensor in host memory. Row-major unless `strides` (in elements) are given; the innermost stride
 * is 1. `dtype` follows from the array but for `Uint16Array`, which needs `"f16"` or `"bf16"`.
 *
 * @example
 * ```ts
 * import type { HostTensor } from "@flashtile/attention";
 *
 * // one sequence of 16 tokens, 2 heads, head dimension 8
 * const q: HostTensor = { data: new Float32Array(16 * 2 * 8), shape: [1, 16, 2, 8] };
 * ```
 */
export interface HostTensor<A extends TensorData = TensorData> {
  /** The values, at least as many as shape and strides reach. */
  readonly data: A;
  /** Size of each axis; zero is legal. */
  readonly shape: readonly number[];
  /** How `data` stores values. */
  readonly dtype?: DType | undefined;
  /** Elements from one index to the next, for each axis. */
  readonly strides?: readonly number[] | undefined;
}

/**
 * A boolean mask in host memory, one byte for each (query, key): 1 = may attend. Broadcast like
 * `bias`: axes of size 1 and missing leading axes repeat.
 *
 * @example
 * ```ts
 * import type { MaskTensor } from "@flashtile/attention";
 *
 * // 2 queries, 3 keys; the first query may not see the last key
 * const mask: MaskTensor = { data: new Uint8Array([1, 1, 0, 1, 1, 1]), shape: [2, 3] };
 * ```
 */
export interface MaskTensor {
  /** The bytes. */
  readonly data: Uint8Array;
  /** Up to four axes that broadcast to `[batch, queryHeads, lengthQ, lengthK]`. */
  readonly shape: readonly number[];
  /** Elements from one index to the next, for each axis. */
  readonly strides?: readonly number[] | undefined;
}

/**
 * A tensor that lives where an engine computes: in WASM memory or in a GPU buffer. Made by
 * `engine.tensor`, or returned by a call whose inputs were resident. Free it with `dispose` or `using`.
 *
 * @example
 * ```ts
 * import { createEngine } from "@flashtile/attention";
 * import assert from "node:assert/strict";
 *
 * const engine = await createEngine({ backend: "wasm", threads: 1 });
 * const x = engine.tensor(new Float32Array([1, 2, 3]), [3]);
 * assert.deepEqual([...(await x.read() as Float32Array)], [1, 2, 3]);
 * x.dispose();
 * engine.dispose();
 * ```
 */
export interface Tensor {
  /** Size of each axis. */
  readonly shape: readonly number[];
  /** How values are stored. */
  readonly dtype: DType;
  /** Whether the memory was given back. */
  readonly disposed: boolean;
  /** On a GPU: the `GPUBuffer`, for programs that bind it to kernels of their own. */
  readonly buffer?: HostGpuBuffer | undefined;
  /** On a GPU: the byte of `buffer` where the tensor begins. */
  readonly byteOffset?: number | undefined;
  /**
   * Copies values into the tensor. `at` is the element where they begin (row-major), or an index of the first axes:
   * `keys.write(row, [0, n])` writes token n of the first sequence in layout `"bshd"`. Values with a shape (and
   * strides) fill a box of that shape: `keys.write({ data: row, shape: [1, kvHeads, 1, headDim] }, [0, 0, n])` in
   * layout `"bhsd"`. Float32 values are rounded to the type of the tensor. Throws while a call reads the tensor.
   */
  write(data: TensorData | HostTensor, at?: number | readonly number[]): void;
  /** Copies the values to a new host array, row-major; 16-bit values as their bits. */
  read(): Promise<Float32Array | Uint16Array>;
  /** The same in float32, whatever the type of the tensor. */
  read(as: "f32"): Promise<Float32Array>;
  /**
   * Gives the memory back, once the calls that are running with it have ended; using the tensor afterwards throws.
   * Safe to call twice.
   */
  dispose(): void;
  /** Same as `dispose`, for `using`. */
  [Symbol.dispose](): void;
}

/** A resident tensor of 32-bit integers: a result that counts keys. */
export interface IntegerTensor extends Omit<Tensor, "read"> {
  /** Copies the integers to a new host array, row-major. */
  read(): Promise<Int32Array>;
  /** The same as float32 numbers. */
  read(as: "f32"): Promise<Float32Array>;
}

/** A resident tensor of bytes, a mask: made by `engine.tensor` from a `Uint8Array`. */
export interface BooleanTensor extends Omit<Tensor, "read"> {
  /** Copies the bytes to a new host array, row-major. */
  read(): Promise<Uint8Array>;
  /** The same as float32 numbers. */
  read(as: "f32"): Promise<Float32Array>;
}

/** The resident tensor of an array or of a dtype: bytes, which are a mask, are read as bytes. */
export type TensorOf<S> = 0 extends 1 & S ? Tensor // any
  : [S] extends [Uint8Array | "bool"] ? BooleanTensor
  : Tensor;

/** What calls accept wherever a tensor of numbers is wanted. */
export type AnyTensor = HostTensor | Tensor;

/** The result of an input of type T: it lives where the input lives, in the same kind of array. */
export type ResultOf<T> = T extends Tensor ? Tensor
  : T extends { readonly data: infer A extends TensorData } ? HostTensor<A>
  : HostTensor;

/** The same of a result that is float32 whatever the input holds. */
export type FloatResultOf<T> = T extends Tensor ? Tensor : HostTensor<Float32Array>;

/** Whether a tensor is resident. */
export function isResident(tensor: AnyTensor): tensor is Tensor {
  return "read" in tensor;
}
