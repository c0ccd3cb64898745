// The bytes of the kernels from their text, by a small module of WebAssembly: 1 ms, where JavaScript that no compiler
// has looked at yet takes 20 (docs/decisions/049-kernels-as-streams.md).

/** A binary as text, made by tools/build/kernel_text. */
export interface PackedKernels {
  /** Bytes that it becomes. */
  readonly size: number;
  readonly functions: number;
  /** Characters of each stream. */
  readonly streams: readonly number[];
  readonly text: string;
}

/** Where asm/unpack.ts has the places of streams, and where the text begins. */
const STREAMS_BYTE = 128;
export const TEXT_BYTE: number = 2304;

interface UnpackerExports {
  readonly memory: WebAssembly.Memory;
  readonly unpack: (functions: number) => number;
}

/** Makes the bytes, with the compiled asm/unpack.ts; throws where nothing may be compiled. */
export function unpack(
  { functions, streams, text }: PackedKernels,
  unpacker: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(unpacker));
  const { memory, unpack } = exports as unknown as UnpackerExports;
  const buffer = memory.buffer as ArrayBuffer, end = TEXT_BYTE + text.length;
  writeText(text, new Uint8Array(buffer, TEXT_BYTE));
  const places = new Uint32Array(buffer, STREAMS_BYTE, streams.length + 1);
  let place = TEXT_BYTE;
  for (const [i, length] of streams.entries()) {
    places[i] = place;
    place += length;
  }
  places[streams.length] = end;
  return new Uint8Array(buffer, end, unpack(functions)).slice();
}

/** Characters of ASCII as bytes. The scope of audio worklets has no TextEncoder. */
function writeText(text: string, into: Uint8Array<ArrayBuffer>): void {
  if (typeof TextEncoder === "function") new TextEncoder().encodeInto(text, into);
  else for (let i = 0; i < text.length; i++) into[i] = text.charCodeAt(i);
}
