// safetensors, https://github.com/huggingface/safetensors: a length, that many bytes of JSON with the places of all
// tensors, the tensors. Their places must cover the rest of the file, each byte once.
import type { HostTensor } from "../../tensor/tensor.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { show } from "../../tensor/errors.ts";
import type { ByteFile } from "./byte_file.ts";
import {
  bytesOf,
  elementsOf,
  isSizes,
  type StoredTensor,
  type StoredType,
  typeOf,
} from "./stored.ts";

const NAMES: Readonly<Record<StoredType, string>> = {
  ...{ f32: "F32", f16: "F16", bf16: "BF16", bool: "BOOL", i32: "I32" },
};
/** Types that calls take; others may lie beside them. */
const TYPES: Readonly<Record<string, StoredType>> = {
  ...{ F32: "f32", F16: "f16", BF16: "bf16", BOOL: "bool", U8: "bool", I32: "i32" },
};
/** The format's own limit of the JSON. */
const LONGEST_HEADER = 100_000_000;

/** A tensor of a file; one of a type that calls do not take has none of ours. */
export interface ListedTensor extends Omit<StoredTensor, "dtype"> {
  readonly dtype: StoredType | undefined;
  /** As the file names it. */
  readonly typeName: string;
}

/** A place, as the JSON says it. */
interface Place {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

function readEntry(name: string, entry: unknown, file: ByteFile): [ListedTensor, Place] {
  const { dtype, shape, data_offsets: offsets } = Object(entry) as Record<string, unknown>;
  const wrong = (field: string, value: unknown, wanted: string) =>
    file.error(`${field} of ${name} is ${show(value)} but must be ${wanted}`);
  if (typeof dtype !== "string") throw wrong("dtype", dtype, "a text like F32");
  if (!isSizes(shape)) throw wrong("shape", shape, "a list of sizes");
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw wrong("data_offsets", offsets, "where it begins and ends");
  }
  const [begin, end] = offsets as [number, number];
  const type = Object.hasOwn(TYPES, dtype) ? TYPES[dtype] : undefined;
  const count = elementsOf(shape), bytes = end - begin;
  if (type && (count === undefined || count * BYTES[type] !== bytes)) {
    throw file.error(
      `shape of ${name} is [${shape}] in ${dtype}, which takes ` +
        `${count === undefined ? "more than can be counted" : count * BYTES[type]} bytes, ` +
        `but its data_offsets [${begin}, ${end}] are ${bytes} apart`,
    );
  }
  return [{ dtype: type, typeName: dtype, shape, offset: begin }, { name, begin, end }];
}

/** Throws unless places cover `bytes` bytes, each once. */
function checkPlaces(places: readonly Place[], bytes: number, file: ByteFile): void {
  let last: Place = { name: "the header", begin: 0, end: 0 };
  for (const place of places.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    const { name, begin, end } = place;
    if (begin < last.end) {
      throw file.error(`data_offsets of ${name} begin at ${begin}, inside of ${last.name}`);
    }
    if (begin > last.end) {
      throw file.error(`data_offsets leave ${begin - last.end} bytes before ${name} to nobody`);
    }
    if (end > bytes) {
      throw file.error(
        `data_offsets of ${name} end at ${end} but ${bytes} bytes follow the header`,
      );
    }
    last = place;
  }
  if (last.end !== bytes) {
    throw file.error(`data_offsets end at ${last.end} but ${bytes} bytes follow the header`);
  }
}

/** What a file holds, by name. */
export async function readSafetensorsHeader(file: ByteFile): Promise<Map<string, ListedTensor>> {
  if (file.size < 8) throw file.error(`it has ${file.size} bytes, fewer than a length takes`);
  const length = Number(new DataView((await file.read(0, 8)).buffer).getBigUint64(0, true));
  const most = Math.min(LONGEST_HEADER, file.size - 8);
  if (length > most) {
    throw file.error(`the length of its header is ${length} but must be at most ${most}`);
  }
  const text = new TextDecoder().decode(await file.read(8, length));
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch { /* said below */ }
  if (!text.startsWith("{") || typeof header !== "object" || header === null) {
    throw file.error(
      `its header is ${JSON.stringify(text.slice(0, 60))} but must be a JSON object`,
    );
  }
  const tensors = new Map<string, ListedTensor>(), places: Place[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [tensor, place] = readEntry(name, entry, file);
    tensors.set(name, { ...tensor, offset: tensor.offset + 8 + length });
    places.push(place);
  }
  checkPlaces(places, file.size - 8 - length, file);
  return tensors;
}

/** The bytes of a file that holds tensors. */
export function safetensorsParts(tensors: Readonly<Record<string, HostTensor>>): Uint8Array[] {
  const header: Record<string, unknown> = {}, values: Uint8Array[] = [];
  let end = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    const bytes = bytesOf(tensor.data), begin = end;
    end += bytes.length;
    const place = { shape: tensor.shape, data_offsets: [begin, end] };
    header[name] = { dtype: NAMES[typeOf(tensor)], ...place };
    values.push(bytes);
  }
  const json = JSON.stringify(header), length = Math.ceil(json.length / 8) * 8;
  const start = new Uint8Array(8 + length);
  new DataView(start.buffer).setBigUint64(0, BigInt(length), true);
  start.set(new TextEncoder().encode(json.padEnd(length)), 8);
  return [start, ...values];
}
