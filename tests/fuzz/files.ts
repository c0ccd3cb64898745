/** Files of models and tensors that lie: bytes of good ones, changed, cut, doubled; what reads them says so, or reads them. */
import fc from "fast-check";
import { memorySource } from "../../examples/llama/byte_source.ts";
import { readGguf } from "../../examples/llama/gguf.ts";
import { readLlama2c } from "../../examples/llama/llama2c.ts";
import { readSafetensors } from "../../examples/llama/safetensors.ts";
import { ggufFile } from "../../examples/llama/testing/gguf_file.ts";
import { llama2cFile } from "../../examples/llama/testing/llama2c_file.ts";
import { safetensorsFile } from "../../examples/llama/testing/safetensors_file.ts";
import { randomModel, TINY } from "../../examples/llama/testing/tiny_model.ts";
import { FileError } from "../../src/cli/exit.ts";
import { ByteFile } from "../../src/cli/files/byte_file.ts";
import { npyParts, readNpyHeader } from "../../src/cli/files/npy.ts";
import { readSafetensorsHeader, safetensorsParts } from "../../src/cli/files/safetensors.ts";
import { readStored, type StoredTensor } from "../../src/cli/files/stored.ts";
import { plainTensor } from "../inputs.ts";
import { undocumented } from "./oracle.ts";
import { withinTime } from "./watchdog.ts";

const model = randomModel({ ...TINY, layers: 1 }, 1);
const tensors = safetensorsFile(model);
const [q, k] = [plainTensor(1, [2, 3, 4]), plainTensor(2, [5])];

/** Bytes as a file that the command line has opened. */
function opened(bytes: Uint8Array): ByteFile {
  const read = (into: Uint8Array, at: number, length: number, from: number) => {
    const piece = bytes.subarray(from, from + length);
    into.set(piece, at);
    return Promise.resolve({ bytesRead: piece.length, buffer: into });
  };
  return new ByteFile("x", bytes.length, { read } as ConstructorParameters<typeof ByteFile>[2]);
}

/** Reads all tensors of a file that the command line takes. */
async function readListed(file: ByteFile): Promise<void> {
  for (const tensor of (await readSafetensorsHeader(file)).values()) {
    if (tensor.dtype) await readStored(file, tensor as StoredTensor);
  }
}

/** A kind of file: a good one, where its header ends, and what reads it. */
interface Kind {
  readonly bytes: Uint8Array;
  readonly header: number;
  read(bytes: Uint8Array): Promise<unknown>;
}

const KINDS: Readonly<Record<string, Kind>> = {
  gguf: {
    bytes: ggufFile(model),
    header: 9000,
    read: (bytes) => readGguf(memorySource("m.gguf", bytes)),
  },
  safetensors: {
    bytes: tensors.bytes,
    header: 1500,
    read: (bytes) => readSafetensors(memorySource("m.safetensors", bytes), tensors.config),
  },
  config: {
    bytes: new TextEncoder().encode(tensors.config),
    header: tensors.config.length,
    read: (bytes) =>
      readSafetensors(
        memorySource("m.safetensors", tensors.bytes),
        new TextDecoder().decode(bytes),
      ),
  },
  llama2c: {
    bytes: llama2cFile(model, 0),
    header: 28,
    read: (bytes) => readLlama2c(memorySource("m.bin", bytes)),
  },
  npy: {
    bytes: joined(...npyParts(q)),
    header: 128,
    read: async (bytes) => {
      const file = opened(bytes);
      return await readStored(file, await readNpyHeader(file));
    },
  },
  "tensors of the command line": {
    bytes: joined(...safetensorsParts({ q, k })),
    header: 120,
    read: (bytes) => readListed(opened(bytes)),
  },
  "llama2c of version 1": {
    bytes: llama2cFile(model, 1),
    header: 64,
    read: (bytes) => readLlama2c(memorySource("m.bin", bytes)),
  },
};

/** What is done to the bytes, at a share of the header. */
interface Damage {
  readonly what: "byte" | "word" | "cut" | "insert" | "repeat" | "text";
  readonly at: number;
  readonly value: number;
}

/** A damaged file. */
export interface FileTrial {
  readonly kind: string;
  readonly damages: readonly Damage[];
}

const words = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 255, 65535, 0x7fffff00, 1024, 3];

/** Any of them. */
export const fileTrials: fc.Arbitrary<FileTrial> = fc.record({
  kind: fc.constantFrom(...Object.keys(KINDS)),
  damages: fc.array(
    fc.record({
      what: fc.constantFrom("byte", "word", "word", "cut", "insert", "repeat", "text"),
      at: fc.nat().map((n) => n * 0.6180339887498949 % 1), // not most often at the begin
      value: fc.oneof(fc.constantFrom(...words), fc.nat(255)),
    }),
    { minLength: 1, maxLength: 3 },
  ),
});

const TEXTS = ["null", "-1", "1e999", "[]", '"x"', "true", "9007199254740993", "{}"];

function joined(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, { length }) => n + length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}

/** Replaces the digits that stand at a place, or behind it. */
function withText(bytes: Uint8Array, at: number, text: string): Uint8Array {
  let begin = at;
  while (begin < bytes.length && !(bytes[begin]! >= 48 && bytes[begin]! < 58)) begin++;
  let end = begin;
  while (end < bytes.length && bytes[end]! >= 48 && bytes[end]! < 58) end++;
  const middle = new TextEncoder().encode(text);
  return joined(bytes.subarray(0, begin), middle, bytes.subarray(end));
}

function damaged(bytes: Uint8Array, header: number, { what, at, value }: Damage): Uint8Array {
  const place = Math.floor(at * Math.max(0, Math.min(header, bytes.length) - 4));
  const copy = bytes.slice(), view = new DataView(copy.buffer);
  switch (what) {
    case "byte":
      if (place < copy.length) copy[place] = value;
      return copy;
    case "word":
      if (place + 4 <= copy.length) view.setInt32(place - place % 4, value, true);
      return copy;
    case "cut":
      return copy.subarray(0, place);
    case "insert":
      return joined(bytes.subarray(0, place), Uint8Array.of(value), bytes.subarray(place));
    case "repeat":
      return joined(bytes.subarray(0, place), bytes.subarray(Math.floor(place / 2)));
    case "text":
      return withText(bytes, place, TEXTS[Math.abs(value) % TEXTS.length]!);
  }
}

/** Reads a damaged file; throws where what comes out is no documented error. */
export async function runFileTrial({ kind, damages }: FileTrial): Promise<void> {
  const { bytes, header, read } = KINDS[kind]!;
  const file = damages.reduce((bytes, damage) => damaged(bytes, header, damage), bytes);
  const about = `${kind}: ${JSON.stringify(damages)}`;
  try {
    await withinTime(about, () => read(file));
  } catch (error) {
    // examples say so with plain errors too, the command line with its own
    if (error instanceof Error && [Error, FileError].includes(error.constructor as typeof Error)) {
      if (/^Cannot /.test(error.message) && error.message.length < 1000) return;
    }
    const what = undocumented(error, new Set());
    if (what) throw new Error(`${about}: ${what}`, { cause: error });
  }
}
