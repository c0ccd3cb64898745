/**
 * A model in a file, and with it the run that trains it: safetensors
 * (https://github.com/huggingface/safetensors), that is a length, so many bytes of JSON that say where
 * each array lies, the arrays. Sizes of the model stand in the JSON as metadata.
 */
import type { Engine } from "../../mod.ts";
import { ByteModel } from "./model.ts";
import { type ModelShape, VOCABULARY } from "./parameters.ts";
import { Random } from "./random.ts";
import type { RunState } from "./train.ts";

const FORMAT = "flashtile byte model";
const SIZES = [
  "layers",
  "heads",
  "kvHeads",
  "headDim",
  "dim",
  "context",
] as const;
/** Longest context of a model: tables of positions are made for it. */
const LONGEST_CONTEXT = 65536;
const LONGEST_HEADER = 1 << 20;

/** How numbers are stored: of 16 bits is half the size, and enough for a model that only reads. */
export type Stored = "F32" | "F16";

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly number[];
}

/** Arrays of a file by name, and what it says of itself. */
interface Contents {
  readonly metadata: Readonly<Record<string, string>>;
  readonly array: (name: string, count: number) => Float32Array;
}

/** The bytes of a model's file; with `run`, training can go on from it. */
export function writeModel(
  model: ByteModel,
  stored: Stored,
  run?: RunState,
): Uint8Array<ArrayBuffer> {
  const arrays = model.parameters.map(({ name, value }) => ({ name, value }));
  const metadata: Record<string, string> = { format: FORMAT };
  for (const size of SIZES) metadata[size] = String(model.shape[size]);
  if (run) {
    metadata["steps"] = String(run.adam.steps);
    metadata["random"] = String(run.random);
    model.parameters.forEach(({ name }, n) => {
      arrays.push({ name: `${name} mean`, value: run.adam.means[n]! });
      arrays.push({ name: `${name} square`, value: run.adam.squares[n]! });
    });
  }
  const width = stored === "F32" ? 4 : 2, entries: Record<string, unknown> = {};
  entries["__metadata__"] = metadata;
  let end = 0;
  for (const { name, value } of arrays) {
    const data_offsets = [end, end += value.length * width];
    entries[name] = {
      dtype: stored,
      shape: [value.length],
      data_offsets,
    } satisfies Entry;
  }
  const json = JSON.stringify(entries);
  // arrays begin at a multiple of eight bytes, as the format wants it
  const header = new TextEncoder().encode(
    json.padEnd(Math.ceil(json.length / 8) * 8),
  );
  const file = new Uint8Array(8 + header.length + end),
    start = 8 + header.length;
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  let at = start;
  for (const { value } of arrays) {
    const Numbers = stored === "F32" ? Float32Array : Float16Array;
    new Numbers(file.buffer, at, value.length).set(value);
    at += value.length * width;
  }
  return file;
}

/**
 * Reads a model. `context`: longest text that it shall read, where that is not what it was trained with.
 * Throws a sentence for people where the file is none, is cut off, or does not fit together.
 */
export function readModel(
  name: string,
  file: Uint8Array,
  engine: Engine,
  context?: number,
): { model: ByteModel; run: RunState | undefined } {
  const { metadata, array } = readContents(name, file);
  const shape = readShape(name, metadata, file.length);
  const model = new ByteModel(
    context === undefined ? shape : { ...shape, context },
    new Random(0),
    engine,
  );
  for (const { name, value } of model.parameters) {
    value.set(array(name, value.length));
  }
  if (metadata["steps"] === undefined) return { model, run: undefined };
  const moments = (kind: string): Float32Array[] =>
    model.parameters.map(({ name, value }) => array(`${name} ${kind}`, value.length));
  const steps = wholeNumber(name, metadata, "steps"),
    random = wholeNumber(name, metadata, "random");
  const adam = { steps, means: moments("mean"), squares: moments("square") };
  return { model, run: { adam, random } };
}

function readContents(name: string, file: Uint8Array): Contents {
  const fail = (what: string): never => {
    throw new RangeError(`Cannot read ${name}: ${what}`);
  };
  if (file.length === 0) fail("it is empty");
  if (file.length < 9 || file[8] !== 0x7b) {
    fail("it is not a model that was saved here");
  }
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = Number(view.getBigUint64(0, true)), start = 8 + length;
  if (length > LONGEST_HEADER) fail("it is not a model that was saved here");
  if (start > file.length) {
    fail(`it ends after ${file.length} bytes, in the middle of its header`);
  }
  const header = parse(file.subarray(8, start));
  const metadata = Object(header?.["__metadata__"]) as Record<string, string>;
  if (metadata["format"] !== FORMAT) {
    fail("it is not a model that was saved here");
  }
  const size = start + lastByte(header!);
  if (size > file.length) fail(`it ends after ${file.length} bytes, but should have ${size}`);

  const array = (entry: string, count: number): Float32Array => {
    const { dtype, data_offsets } = Object(header![entry]) as Partial<Entry>;
    const width = dtype === "F32" ? 4 : dtype === "F16" ? 2 : fail(`its ${entry} is missing`);
    const [from, to] = data_offsets ?? [];
    if (
      !Number.isSafeInteger(from) || from! < 0 || to !== from! + count * width
    ) {
      fail(
        `its ${entry} does not have the ${count} numbers that its sizes ask for`,
      );
    }
    const bytes = file.slice(start + from!, start + to!).buffer; // a copy that begins at a whole number
    const values = width === 4
      ? new Float32Array(bytes)
      : Float32Array.from(new Float16Array(bytes));
    return values.every(Number.isFinite)
      ? values
      : fail(`its ${entry} has numbers that are not finite`);
  };
  return { metadata, array };
}

function parse(json: Uint8Array): Record<string, unknown> | undefined {
  try {
    return Object(JSON.parse(new TextDecoder().decode(json)));
  } catch {
    return undefined;
  }
}

function lastByte(header: Readonly<Record<string, unknown>>): number {
  const ends = Object.values(header).map((entry) => {
    const end = (Object(entry) as Partial<Entry>).data_offsets?.[1];
    return Number.isSafeInteger(end) ? end! : 0;
  });
  return Math.max(0, ...ends);
}

function wholeNumber(
  name: string,
  metadata: Readonly<Record<string, string>>,
  key: string,
): number {
  const value = Number(metadata[key]);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(
    `Cannot read ${name}: its ${key} is ${metadata[key]}, which is no number`,
  );
}

function readShape(
  name: string,
  metadata: Readonly<Record<string, string>>,
  bytes: number,
): ModelShape {
  const sizes = SIZES.map((size) => [size, wholeNumber(name, metadata, size)] as const);
  const shape = Object.fromEntries(sizes) as Record<
    (typeof SIZES)[number],
    number
  >;
  const { layers, heads, kvHeads, headDim, dim, context } = shape;
  const fits = Math.min(...Object.values(shape)) > 0 && headDim % 2 === 0 &&
    heads % kvHeads === 0;
  // every size but the context is paid for in bytes of the file
  const least = 2 *
    (VOCABULARY * dim + layers * dim * headDim * (heads + kvHeads));
  if (fits && context <= LONGEST_CONTEXT && least <= bytes) return shape;
  const list = sizes.map(([size, value]) => `${size} ${value}`).join(", ");
  throw new RangeError(
    `Cannot read ${name}: no model has the sizes that it says (${list})`,
  );
}
