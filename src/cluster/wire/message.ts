// Messages: the layout of a safetensors file. Eight bytes with the length of a JSON header, the header, raw rows. What is
// asked, or answered, is JSON in the header's `__metadata__`, beside the version of this protocol.
import { arrayKind, bits, BYTES, type DType, impliedDType } from "../../tensor/dtype.ts";
import { extentOf, rowMajor } from "../../tensor/shape.ts";
import type { HostTensor, MaskTensor } from "../../tensor/tensor.ts";
import { contiguous } from "./slices.ts";

/** What both sides of the wire must speak. Another number is another protocol: nodes refuse it. */
export const PROTOCOL = 1;

/** The JSON of a message. */
export type Head = Readonly<Record<string, unknown>>;

/** A message that came in. */
export interface Message {
  readonly head: Head;
  readonly tensors: Readonly<Record<string, HostTensor>>;
}

/** Storage types by the names that safetensors has for them. */
const NAMES: { readonly [T in DType]: string } = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  i8: "I8",
  bool: "BOOL",
  i32: "I32",
};
const DTYPES = new Map(Object.entries(NAMES).map(([dtype, name]) => [name, dtype as DType]));

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const text = new TextEncoder(), read = new TextDecoder();
/** Rows begin at a multiple of this in a message, so that arrays can be laid over them. */
const ALIGN = 8;

/** How a host tensor is stored: an array of 16-bit integers says it itself. */
export function dtypeOf({ data, dtype }: HostTensor | MaskTensor & { dtype?: DType }): DType {
  return dtype ?? impliedDType(data) ?? (arrayKind(data) === "Int32Array" ? "i32" : "f32");
}

/** The bytes of a row-major tensor. */
export function bytesOf(tensor: HostTensor | MaskTensor): Uint8Array<ArrayBuffer> {
  const stored = bits(contiguous(tensor).data), { buffer, byteOffset } = stored;
  const elements = extentOf(tensor.shape, rowMajor(tensor.shape));
  return new Uint8Array(
    buffer as ArrayBuffer,
    byteOffset,
    elements * stored.BYTES_PER_ELEMENT,
  );
}

/** An array of a type over bytes; copies them where they lie at an odd place. */
export function arrayOver(dtype: DType, bytes: Uint8Array): HostTensor["data"] {
  const size = BYTES[dtype],
    aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset, byteLength } = aligned, n = byteLength / size;
  if (dtype === "f32") return new Float32Array(buffer, byteOffset, n);
  if (dtype === "i32") return new Int32Array(buffer, byteOffset, n);
  if (dtype === "i8") return new Int8Array(buffer, byteOffset, n);
  if (dtype === "bool") return new Uint8Array(buffer, byteOffset, n);
  return new Uint16Array(buffer, byteOffset, n);
}

/** A message as bytes. Tensors may be strided; they leave row-major. */
export function encode(
  head: Head,
  tensors: Readonly<Record<string, HostTensor | MaskTensor>> = {},
): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = {
    __metadata__: { flashtile: `${PROTOCOL}`, head: JSON.stringify(head) },
  };
  let end = 0;
  const parts = Object.entries(tensors).map(([name, tensor]) => {
    const bytes = bytesOf(tensor), begin = end;
    end += bytes.length;
    header[name] = {
      dtype: NAMES[dtypeOf(tensor)],
      shape: tensor.shape,
      data_offsets: [begin, end],
    };
    // the next tensor begins where any array may
    end += -end & ALIGN - 1;
    return { bytes, begin };
  });
  const json = text.encode(JSON.stringify(header)), length = json.length + (-json.length & 7);
  const message = new Uint8Array(8 + length + end);
  new DataView(message.buffer).setBigUint64(0, BigInt(length), true);
  message.set(json, 8);
  message.fill(0x20, 8 + json.length, 8 + length);
  for (const { bytes, begin } of parts) message.set(bytes, 8 + length + begin);
  return message;
}

/** Reads a message. Throws where it is none, or one of another version. */
export function decode(message: Uint8Array): Message {
  const fail = (what: string) => new TypeError(`Cannot read the message: ${what}`);
  if (message.length < 8) throw fail(`it has ${message.length} bytes but at least 8 were wanted`);
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > message.length - 8) {
    throw fail(`its header has ${length} bytes but ${message.length - 8} follow`);
  }
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(read.decode(message.subarray(8, 8 + length)));
  } catch {
    throw fail("its header is no JSON");
  }
  const { __metadata__, ...entries } = header;
  const meta = __metadata__ as { flashtile?: string; head?: string } | undefined;
  if (meta?.flashtile !== `${PROTOCOL}`) {
    throw fail(`it has protocol ${meta?.flashtile ?? "none"} but ${PROTOCOL} was wanted`);
  }
  const body = message.subarray(8 + length);
  const tensors = Object.entries(entries as Record<string, Entry>).map(([name, entry]) => {
    const dtype = DTYPES.get(entry.dtype), [begin, end] = entry.data_offsets;
    if (dtype === undefined) throw fail(`${name} has the unknown dtype ${entry.dtype}`);
    const elements = entry.shape.reduce((n, size) => n * size, 1);
    if (end > body.length || end - begin !== elements * BYTES[dtype]) {
      throw fail(`${name} has bytes ${begin} to ${end} of ${body.length} for ${elements} elements`);
    }
    const data = arrayOver(dtype, body.subarray(begin, end));
    return [name, { data, shape: entry.shape, dtype }] as const;
  });
  return { head: JSON.parse(meta.head ?? "{}"), tensors: Object.fromEntries(tensors) };
}
