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

/** Where asm/unpack.ts has the places of streams, and where text may begin. */
const [STREAMS, TEXT] = [128, 2304];
const PAGE = 65536;

interface UnpackerExports {
  readonly unpack: (functions: number) => number;
}

/** Makes the bytes, with the compiled asm/unpack.ts; throws where nothing may be compiled. */
export function unpack(
  { size, functions, streams, text }: PackedKernels,
  unpacker: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const module = new WebAssembly.Module(unpacker), end = TEXT + text.length;
  const memory = new WebAssembly.Memory({ initial: Math.ceil((end + size + 16) / PAGE) });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const buffer = memory.buffer as ArrayBuffer;
  writeText(text, new Uint8Array(buffer, TEXT));
  const places = new Uint32Array(buffer, STREAMS, streams.length + 1);
  let place = TEXT;
  for (const [i, length] of streams.entries()) {
    places[i] = place;
    place += length;
  }
  places[streams.length] = end;
  const bytes = (exports as unknown as UnpackerExports).unpack(functions);
  return new Uint8Array(buffer, end, bytes).slice();
}

/** Characters of ASCII as bytes. The scope of audio worklets has no TextEncoder. */
function writeText(text: string, into: Uint8Array<ArrayBuffer>): void {
  if (typeof TextEncoder === "function") new TextEncoder().encodeInto(text, into);
  else for (let i = 0; i < text.length; i++) into[i] = text.charCodeAt(i);
}
