// NumPy's .npy: one array, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
// A magic text and a version, the length of a header, the header (a Python dictionary), the values.
import type { HostTensor } from "../../tensor/tensor.ts";
import { BYTES } from "../../tensor/dtype.ts";
import type { ByteFile } from "./byte_file.ts";
import { bytesOf, elementsOf, type StoredTensor, type StoredType, typeOf } from "./stored.ts";

const MAGIC = [0x93, ...new TextEncoder().encode("NUMPY")];
/** NumPy itself refuses to read longer ones. */
const LONGEST_HEADER = 10_000;
/** Values begin at a multiple of it. */
const ALIGNMENT = 64;

/** NumPy's names. It has none for bfloat16: those of the package ml_dtypes come as two bytes of no type. */
const TYPES: Readonly<Record<string, StoredType>> = {
  "<f4": "f32",
  "<f2": "f16",
  "<V2": "bf16",
  "|V2": "bf16",
  "|b1": "bool",
  "|u1": "bool",
  "<i4": "i32",
};
const NAMES: Readonly<Record<StoredType, string>> = {
  ...{ f32: "<f4", f16: "<f2", bf16: "|V2", bool: "|b1", i32: "<i4" },
};

/** A pair of the dictionary, in the forms that NumPy writes. */
const ENTRY =
  /\s*(?:'(\w+)'|"(\w+)")\s*:\s*(?:'([^']*)'|"([^"]*)"|(True|False)|\(([^()]*)\))\s*(?:,|$)/y;

/** The dictionary as texts. */
function entriesOf(text: string, file: ByteFile): Map<string, string> {
  const broken = () =>
    file.error(
      `its header is ${JSON.stringify(text.trim().slice(0, 120))} but must be a ` +
        "dictionary of descr (a text), fortran_order and shape",
    );
  const inner = /^\{([\s\S]*)\}\s*$/.exec(text)?.[1]?.trim(), entries = new Map<string, string>();
  if (inner === undefined) throw broken();
  for (ENTRY.lastIndex = 0; ENTRY.lastIndex < inner.length;) {
    const found = ENTRY.exec(inner);
    if (!found) throw broken();
    const [, key = found[2]!, , text, quoted, truth, tuple] = found;
    if (entries.has(key)) throw file.error(`its header has ${key} twice`);
    entries.set(key, (text ?? quoted ?? truth ?? tuple)!);
  }
  const wanted = ["descr", "fortran_order", "shape"];
  if (entries.size !== 3 || !wanted.every((key) => entries.has(key))) throw broken();
  return entries;
}

function shapeOf(text: string, file: ByteFile): number[] {
  const parts = text.split(",").map((part) => part.trim());
  if (parts.at(-1) === "") parts.pop(); // (3,) and ()
  if (!parts.every((part) => /^\d+$/.test(part))) {
    throw file.error(`shape is (${text}) but must be sizes`);
  }
  return parts.map(Number);
}

function typeNamed(descr: string, file: ByteFile): StoredType {
  const type = Object.hasOwn(TYPES, descr) ? TYPES[descr] : undefined;
  if (type) return type;
  const remedy = descr.startsWith(">")
    ? "its bytes are in the other order: save x.astype(x.dtype.newbyteorder('<'))"
    : descr === "<f8"
    ? "it is float64: save x.astype(numpy.float32)"
    : `wanted one of ${Object.keys(TYPES).join(", ")}`;
  throw file.error(`descr is '${descr}', ${remedy}`);
}

/** Reads the header: what the file holds, and where. */
export async function readNpyHeader(file: ByteFile): Promise<StoredTensor> {
  if (file.size < 10) {
    throw file.error(`it has ${file.size} bytes, fewer than a .npy file begins with`);
  }
  const start = await file.read(0, 10);
  if (!MAGIC.every((byte, n) => start[n] === byte)) {
    throw file.error("it does not begin with \\x93NUMPY, so it is no .npy file");
  }
  const [major, minor] = [start[6]!, start[7]!], known = major >= 1 && major <= 3 && minor === 0;
  if (!known) throw file.error(`version is ${major}.${minor} but must be 1.0, 2.0 or 3.0`);
  const wide = major > 1, begin = wide ? 12 : 10;
  const lengthBytes = await file.read(8, wide ? 4 : 2), view = new DataView(lengthBytes.buffer);
  const length = wide ? view.getUint32(0, true) : view.getUint16(0, true);
  if (length > LONGEST_HEADER) {
    throw file.error(`the length of its header is ${length} but must be at most ${LONGEST_HEADER}`);
  }
  const header = new TextDecoder().decode(await file.read(begin, length));
  const entries = entriesOf(header, file), text = entries.get("shape")!;
  const shape = shapeOf(text, file), dtype = typeNamed(entries.get("descr")!, file);
  if (entries.get("fortran_order") !== "False") {
    throw file.error(
      `fortran_order is ${entries.get("fortran_order")} but must be False: ` +
        "save numpy.ascontiguousarray(x)",
    );
  }
  const count = elementsOf(shape), offset = begin + length, held = file.size - offset;
  if (count === undefined || count * BYTES[dtype] !== held) {
    const wanted = count === undefined ? "more than can be counted" : count * BYTES[dtype];
    throw file.error(
      `shape (${text}) in '${
        entries.get("descr")
      }' takes ${wanted} bytes but ${held} follow the header`,
    );
  }
  return { dtype, shape, offset };
}

/** The bytes of a file that holds a tensor. */
export function npyParts(tensor: HostTensor): Uint8Array[] {
  const { shape } = tensor, tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${
    NAMES[typeOf(tensor)]
  }', 'fortran_order': False, 'shape': (${tuple}), }`;
  const length = Math.ceil((10 + text.length + 1) / ALIGNMENT) * ALIGNMENT - 10;
  const header = new Uint8Array(10 + length);
  header.set([...MAGIC, 1, 0]);
  new DataView(header.buffer).setUint16(8, length, true);
  header.set(new TextEncoder().encode(`${text.padEnd(length - 1)}\n`), 10);
  return [header, bytesOf(tensor.data)];
}
