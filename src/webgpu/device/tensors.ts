// Resident tensors of the GPU engine: whole buffers, or ranges of buffers that callers own.
import { BYTES, type DType, type StoredValues } from "../../tensor/dtype.ts";
import { Complaint, DeviceLostError, show } from "../../tensor/errors.ts";
import { count } from "../../tensor/shape.ts";
import type { HostGpuBuffer } from "../../tensor/gpu_types.ts";
import { ResidentTensor } from "../../tensor/resident.ts";
import { type GpuBuffer, USAGE } from "./api.ts";
import type { OpenDevice } from "./device.ts";
import type { BufferPool } from "./memory.ts";
import { throughStaging } from "./staging.ts";

/** The device and memory that tensors of an engine share. */
export interface Home {
  readonly open: OpenDevice;
  readonly memory: BufferPool;
}

/** Copies host values into a buffer, whatever their number: writes are whole words. */
export function upload(
  { open: { device } }: Home,
  buffer: GpuBuffer,
  byte: number,
  data: StoredValues,
): void {
  const whole = Math.floor(data.byteLength / 4) * 4, n = whole / data.BYTES_PER_ELEMENT;
  if (n > 0) device.queue.writeBuffer(buffer, byte, data, 0, n);
  if (n === data.length) return;
  const rest = new Uint8Array(4);
  rest.set(new Uint8Array(data.buffer, data.byteOffset + whole, data.byteLength - whole));
  device.queue.writeBuffer(buffer, byte + whole, rest);
}

/** What holds the values of a tensor that is read. */
const ARRAYS: {
  readonly [T in DType]?:
    | typeof Float32Array
    | typeof Uint16Array
    | typeof Uint8Array
    | typeof Int32Array;
} = {
  ...{ f32: Float32Array, f16: Uint16Array, bf16: Uint16Array, bool: Uint8Array, i32: Int32Array },
};

/** Checks what is wrapped; the buffer. */
export function checkWrap(
  buffer: object,
  shape: readonly number[],
  dtype: DType,
  byteOffset: number,
): GpuBuffer {
  const complaint = new Complaint("wrap");
  if (typeof buffer !== "object" || buffer === null || !("mapAsync" in buffer)) {
    throw complaint.type(`buffer is ${show(buffer)} but must be a GPUBuffer`);
  }
  const { size, usage } = buffer as GpuBuffer;
  if (!(typeof dtype === "string" && dtype in ARRAYS && dtype !== "i32")) {
    throw complaint.type(`dtype is ${show(dtype)} but must be "f32", "f16", "bf16" or "bool"`);
  }
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw complaint.range(`shape is ${show(shape)} but must be an array of integers >= 0`);
  }
  if (!(usage & USAGE.storage)) {
    throw complaint.range(`buffer has usage ${usage} but STORAGE (${USAGE.storage}) was wanted`);
  }
  if (!(Number.isSafeInteger(byteOffset) && byteOffset >= 0 && byteOffset % 4 === 0)) {
    throw complaint.range(`byteOffset is ${show(byteOffset)} but must be a multiple of 4`);
  }
  const needed = byteOffset + Math.ceil(count(shape) * BYTES[dtype] / 4) * 4;
  if (size < needed) {
    throw complaint.range(
      `buffer has ${size} bytes but shape ${show(shape)} at ${byteOffset} needs ${needed}`,
    );
  }
  return buffer as GpuBuffer;
}

/** A tensor in a GPU buffer, row-major. */
export class GpuTensor extends ResidentTensor {
  /** The buffer, and the byte of it where the tensor begins. */
  readonly buffer: GpuBuffer & HostGpuBuffer;
  readonly byteOffset: number;
  readonly #home: Home;
  /** The buffer is the caller's. */
  readonly #borrowed: boolean;
  /** Called once, when the memory is given back. */
  onFree: (() => void) | undefined;

  constructor(
    home: Home,
    shape: readonly number[],
    dtype: DType,
    borrowed?: { readonly buffer: GpuBuffer; readonly byteOffset: number },
  ) {
    super(shape, dtype);
    this.#home = home;
    this.#borrowed = borrowed !== undefined;
    // from the pool: a new buffer would be cleared by the implementation first, which kernels do not need
    const buffer = borrowed?.buffer ?? home.memory.takeExactly(this.byteLength);
    this.buffer = buffer as GpuBuffer & HostGpuBuffer;
    this.byteOffset = borrowed?.byteOffset ?? 0;
  }

  /** Bytes of the values. */
  get byteLength(): number {
    return count(this.shape) * BYTES[this.dtype];
  }

  /** Whether the tensor lives on this device. */
  livesOn(open: OpenDevice): boolean {
    return this.#home.open === open;
  }

  /** Whether the buffer is the caller's. */
  get borrowed(): boolean {
    return this.#borrowed;
  }

  /** Whether nothing of the caller's shares its last word, which is written whole. */
  get hasLastWord(): boolean {
    const { byteLength, byteOffset, buffer } = this;
    return !this.#borrowed || byteLength % 4 === 0 || buffer.size - byteOffset - byteLength < 4;
  }

  /** The device that it lives on. */
  get open(): OpenDevice {
    return this.#home.open;
  }

  protected override check(action: "read" | "write"): void {
    this.checkHeld(action, this.#home.memory.closed);
    const { lost } = this.#home.open;
    if (lost) throw new DeviceLostError(`Cannot ${action} a tensor`, lost);
    const [usage, name] = action === "read"
      ? [USAGE.copySource, "COPY_SRC"]
      : [USAGE.copyTarget, "COPY_DST"];
    if (this.buffer.usage & usage) return;
    // a device would ignore it, or give zeros
    throw new TypeError(`Cannot ${action} a tensor: its buffer was made without the usage ${name}`);
  }

  protected override checkPut(at: number, n: number): void {
    const bytes = BYTES[this.dtype], ends = at + n === count(this.shape) && this.hasLastWord;
    if ((at * bytes) % 4 === 0 && ((n * bytes) % 4 === 0 || ends)) return;
    throw new Complaint("write").range(
      `at is ${at} with ${n} elements but ${8 * bytes}-bit values in GPU memory are written ` +
        `${bytes === 2 ? "two" : "four"} at a time`,
    );
  }

  protected override put(values: StoredValues, at: number): void {
    const byte = this.byteOffset + at * BYTES[this.dtype];
    const write = () => upload(this.#home, this.buffer, byte, values);
    // only a caller's buffer can be another device's, or destroyed
    if (this.#borrowed) this.#home.open.checked("Cannot write a tensor", write);
    else write();
  }

  protected override async get(): Promise<StoredValues> {
    const bytes = this.byteLength, { dtype } = this;
    const Values = ARRAYS[dtype]!;
    if (bytes === 0) return new Values(0);
    const padded = Math.ceil(bytes / 4) * 4;
    return await throughStaging(
      this.#home,
      [padded],
      "Cannot read a tensor",
      (encoder, [staging]) =>
        encoder.copyBufferToBuffer(this.buffer, this.byteOffset, staging!, 0, padded),
      ([range]) => new Values(range!, 0, bytes / Values.BYTES_PER_ELEMENT).slice(),
    );
  }

  protected override free(): void {
    if (!this.#borrowed) this.#home.memory.give(this.buffer);
    this.onFree?.();
  }
}
