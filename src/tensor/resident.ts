// What resident tensors of all engines have in common: their life, and writing boxes of values.
import { narrowed, widened } from "./convert.ts";
import {
  arrayKind,
  bits,
  BYTES,
  canHold,
  type DType,
  type StoredValues,
  type TensorData,
} from "./dtype.ts";
import { Complaint, show } from "./errors.ts";
import type { HostTensor, Tensor } from "./tensor.ts";
import { checkDType, checkExtent, checkShape, checkStrides, readOnce } from "./given.ts";
import { count, rowMajor } from "./shape.ts";

/** A box of a tensor: the index where it begins, and its size. */
interface Box {
  readonly begin: readonly number[];
  readonly size: readonly number[];
}

/** A tensor in the memory of an engine, row-major. */
export abstract class ResidentTensor implements Tensor {
  readonly shape: readonly number[];
  readonly dtype: DType;
  #disposed = false;
  /** Calls that need its memory. */
  #holders = 0;
  /** Those of them that read it at a time nobody knows. */
  #readers = 0;
  /** Whether one of them writes it, which then is the only one. */
  #written = false;

  constructor(shape: readonly number[], dtype: DType) {
    this.shape = [...shape];
    this.dtype = dtype;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Keeps the memory until `release`, whatever happens to the tensor; `reading`: it must not be written either. */
  hold(reading: boolean): void {
    this.#holders++;
    if (reading) this.#readers++;
  }

  /** Whether a call reads it at a time nobody knows. */
  get isRead(): boolean {
    return this.#readers > 0;
  }

  /** Whether it is the destination of a call that is under way. */
  get isWritten(): boolean {
    return this.#written;
  }

  /** Holds it for a call that writes it, and ends that. */
  occupy(on: boolean): void {
    this.#written = on;
    if (on) this.hold(false);
    else this.release(false);
  }

  /** Ends a `hold`. */
  release(reading: boolean): void {
    this.#holders--;
    if (reading) this.#readers--;
    if (this.#disposed && this.#holders === 0) this.free();
  }

  /** Gives the memory back. */
  protected abstract free(): void;
  /** Throws when the values cannot be reached. */
  protected abstract check(action: "read" | "write"): void;
  /** Throws when its memory, or its engine, was given up. */
  protected checkHeld(action: "read" | "write", closed: boolean): void {
    if (this.#disposed) throw new TypeError(`Cannot ${action} a tensor: it was disposed`);
    if (closed) throw new TypeError(`Cannot ${action} a tensor: its engine was disposed`);
  }
  /** Throws when `n` values cannot be put at element `at`. */
  protected checkPut(_at: number, _n: number): void {}
  /** Copies values in from element `at` on. */
  protected abstract put(values: StoredValues, at: number): void;
  /** A copy of the values. */
  protected abstract get(): Promise<StoredValues>;

  write(data: TensorData | HostTensor, at: number | readonly number[] = 0): void {
    this.check("write");
    if (this.#readers > 0 || this.#written) {
      const does = this.#written ? "writes" : "reads";
      throw new TypeError(
        `Cannot write a tensor: a call that ${does} it is under way, await it first`,
      );
    }
    const complaint = new Complaint("write");
    if (typeof at === "number" && ArrayBuffer.isView(data)) this.#writeRun(data, at, complaint);
    else this.#writeBox(data, at, complaint);
  }

  /** Writes elements that follow each other. */
  #writeRun(data: TensorData, at: number, complaint: Complaint): void {
    const n = count(this.shape), values = this.#stored(data, undefined, complaint);
    if (!(Number.isSafeInteger(at) && at >= 0 && at + values.length <= n)) {
      throw complaint.range(
        `at is ${show(at)} with ${values.length} elements but the tensor has ${n}`,
      );
    }
    this.checkPut(at, values.length);
    this.put(values, at);
  }

  #writeBox(data: TensorData | HostTensor, at: unknown, complaint: Complaint): void {
    const { begin, size } = this.#boxOf(data, at, complaint), strides = rowMajor(this.shape);
    const tensor: HostTensor = ArrayBuffer.isView(data)
      ? { data, shape: size }
      : { ...readOnce(data) as HostTensor, shape: size };
    if (ArrayBuffer.isView(data) && tensor.data.length !== count(size)) {
      throw complaint.range(
        `data has ${tensor.data.length} elements but a box of shape ${show(size)} at ${
          show(begin)
        } ` +
          `has ${count(size)}`,
      );
    }
    const dense = denseValues(tensor, complaint);
    const values = this.#stored(dense, tensor.dtype, complaint);
    // axes that are whole from some axis on are one run
    let axis = size.length - 1, run = size[axis] ?? 1;
    while (axis > 0 && size[axis] === this.shape[axis]) run *= size[--axis]!;
    const first = begin.reduce((sum, index, n) => sum + index * strides[n]!, 0);
    const runs = values.length === 0 ? 0 : values.length / run, outer = size.slice(0, axis);
    const targets = Array.from({ length: runs }, (_, n) => first + offsetOf(n, outer, strides));
    for (const target of targets) this.checkPut(target, run); // all of them before the first
    targets.forEach((target, n) => this.put(values.subarray(n * run, (n + 1) * run), target));
  }

  /** Where values go that come with an index or a shape. */
  #boxOf(data: TensorData | HostTensor, at: unknown, complaint: Complaint): Box {
    const { shape } = this, index = at === 0 ? [] : at as number[];
    if (typeof data !== "object" || data === null) {
      throw complaint.type(
        `data is ${show(data)} but must be an array or a tensor { data, shape }`,
      );
    }
    if (!Array.isArray(index) || index.length > shape.length) {
      throw complaint.type(`at is ${show(at)} but must be an index of up to ${shape.length} axes`);
    }
    const begin = shape.map((_, axis) => index[axis] ?? 0);
    // values without a shape fill what an index of the first axes names
    const size = ArrayBuffer.isView(data)
      ? shape.map((n, axis) => axis < index.length ? 1 : n)
      : checkShape("data", data?.shape, complaint);
    const fits = size.length === shape.length &&
      begin.every((from, axis) =>
        Number.isSafeInteger(from) && from >= 0 && from + size[axis]! <= shape[axis]!
      );
    if (fits) return { begin, size };
    throw complaint.range(
      `a box of shape ${show(size)} at ${show(begin)} is not inside of a tensor of shape ${
        show(shape)
      }`,
    );
  }

  /** Values in the type of the tensor: float32 is rounded where it has to be. */
  #stored(data: TensorData, dtype: DType | undefined, complaint: Complaint): StoredValues {
    checkReachable(data, complaint);
    if (BYTES[this.dtype] === 2 && arrayKind(data) === "Float32Array") {
      return narrowed(data as Float32Array, this.dtype);
    }
    const fits = ArrayBuffer.isView(data) && canHold(data, this.dtype);
    if (fits && (dtype ?? this.dtype) === this.dtype) return bits(data);
    throw complaint.type(
      `data is ${show(data)}${dtype ? ` of dtype ${show(dtype)}` : ""} but the tensor has dtype ` +
        show(this.dtype),
    );
  }

  read(): Promise<Float32Array | Uint16Array>;
  read(as: "f32"): Promise<Float32Array>;
  async read(as?: "f32"): Promise<StoredValues> {
    if (as !== undefined && as !== "f32") {
      throw new Complaint("read").type(`the type is ${show(as)} but must be "f32" or left out`);
    }
    this.check("read");
    if (this.#written) {
      throw new TypeError(
        "Cannot read a tensor: a call that writes it is under way, await it first",
      );
    }
    const values = await this.get();
    if (as === undefined || this.dtype === "f32") return values;
    return BYTES[this.dtype] === 2
      ? widened(values as Uint16Array, this.dtype)
      : Float32Array.from(values);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#holders === 0) this.free();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A method that asks nothing but whether the elements of a typed array can still be reached. */
const { keys } = Int8Array.prototype;

/** Throws where the buffer of a typed array was transferred, or made smaller than where the array lies. */
function checkReachable(data: TensorData, complaint: Complaint): void {
  if (arrayKind(data) === undefined) return; // none, which is said elsewhere
  try {
    keys.call(data as Int8Array);
  } catch {
    throw complaint.type("data has no elements: its buffer is detached, or too small by now");
  }
}

/** The offset of the n-th element of a box. */
function offsetOf(n: number, size: readonly number[], strides: readonly number[]): number {
  let offset = 0;
  for (let axis = size.length - 1; axis >= 0; axis--) {
    offset += n % size[axis]! * strides[axis]!;
    n = Math.floor(n / size[axis]!);
  }
  return offset;
}

/** The values of a host tensor one after the other, in the same kind of array. */
function denseValues(tensor: HostTensor, complaint: Complaint): TensorData {
  const { data, shape } = tensor, n = count(shape);
  if (tensor.dtype !== undefined && arrayKind(tensor.data) !== "Uint8Array") {
    checkDType("data", tensor, complaint);
  }
  if (arrayKind(data) === undefined) {
    throw complaint.type(`data is ${show(data)} but must be an array`);
  }
  checkReachable(data, complaint);
  const strides = checkStrides("data", tensor.strides, shape, complaint);
  checkExtent("data", data, shape, strides, complaint);
  if (`${strides}` === `${rowMajor(shape)}`) {
    return (data as Float32Array).subarray(0, n);
  }
  // of the same kind; there may be fewer values than elements, where a stride is 0
  const dense = new ((data as Float32Array).constructor as Float32ArrayConstructor)(n);
  const run = shape[shape.length - 1]!;
  for (let at = 0; at < n; at += run) {
    const from = offsetOf(at / run, shape.slice(0, -1), strides);
    dense.set((data as Float32Array).subarray(from, from + run), at);
  }
  return dense;
}
