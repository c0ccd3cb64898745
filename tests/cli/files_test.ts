// Files that are not what they say: each error names the file, the field and its value.
import assert from "node:assert/strict";
import { ByteFile } from "../../src/cli/files/byte_file.ts";
import { npyParts, readNpyHeader } from "../../src/cli/files/npy.ts";
import { readSafetensorsHeader, safetensorsParts } from "../../src/cli/files/safetensors.ts";
import { readStored, type StoredTensor } from "../../src/cli/files/stored.ts";
import { joined, tensor } from "./session.ts";

/** A file in memory. */
function file(name: string, bytes: Uint8Array): ByteFile {
  const read = (into: Uint8Array, at: number, length: number, position: number) => {
    const piece = bytes.subarray(position, position + length);
    into.set(piece, at);
    return Promise.resolve({ bytesRead: piece.length, buffer: into });
  };
  return new ByteFile(name, bytes.length, { read } as ConstructorParameters<typeof ByteFile>[2]);
}

const encode = (text: string) => new TextEncoder().encode(text);

/** A .npy file with this header. */
function npy(header: string, data = 24, version = [1, 0]): Uint8Array {
  const wide = version[0]! > 1, start = new Uint8Array(wide ? 12 : 10);
  start.set([0x93, ...encode("NUMPY"), ...version]);
  const view = new DataView(start.buffer);
  if (wide) view.setUint32(8, header.length, true);
  else view.setUint16(8, header.length, true);
  return joined([start, encode(header), new Uint8Array(data)]);
}

/** A safetensors file with this header. */
function safetensors(header: unknown, data = 24): Uint8Array {
  const json = typeof header === "string" ? header : JSON.stringify(header);
  const start = new Uint8Array(8);
  new DataView(start.buffer).setBigUint64(0, BigInt(encode(json).length), true);
  return joined([start, encode(json), new Uint8Array(data)]);
}

const GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";

Deno.test("a .npy file comes back as it was, in every type", async () => {
  const mask = { data: new Uint8Array([1, 0, 1]), shape: [3], dtype: "bool" } as const;
  const counts = { data: new Int32Array([1, -2]), shape: [2], dtype: "i32" } as const;
  const types = [tensor([2, 3], 1), tensor([2, 3], 1, "f16"), tensor([1, 0, 4], 1, "bf16")];
  for (const one of [...types, tensor([], 1), mask, counts]) {
    const bytes = joined(npyParts(one)), opened = file("x.npy", bytes);
    const header = await readNpyHeader(opened);
    assert.equal(header.offset % 64, 0);
    const { data, shape } = await readStored(opened, header);
    assert.deepEqual([data, shape], [one.data, one.shape]);
  }
});

Deno.test("headers that NumPy writes are read, in all versions and in Python 2", async () => {
  for (const version of [[1, 0], [2, 0], [3, 0]]) {
    const { shape } = await readNpyHeader(file("x.npy", npy(GOOD, 24, version)));
    assert.deepEqual(shape, [2, 3]);
  }
  const forms = [
    `{"descr": "<f4", "fortran_order": False, "shape": (6,)}`,
    "{'shape': (6,), 'fortran_order': False, 'descr': '<f4'}   \n",
  ];
  for (const form of forms) {
    assert.deepEqual((await readNpyHeader(file("x", npy(form)))).shape, [6]);
  }
});

const descr = (name: string) => GOOD.replace("<f4", name);
/** Files, and what is said of them. */
const BAD_NPY: readonly (readonly [Uint8Array, string])[] = [
  [new Uint8Array(3), "it has 3 bytes, fewer than a .npy file begins with"],
  [encode("PK\x03\x04 an .npz file"), "it does not begin with \\x93NUMPY, so it is no .npy file"],
  [npy(GOOD, 24, [9, 1]), "version is 9.1 but must be 1.0, 2.0 or 3.0"],
  [npy(GOOD, 23), "shape (2, 3) in '<f4' takes 24 bytes but 23 follow the header"],
  [npy(GOOD, 25), "shape (2, 3) in '<f4' takes 24 bytes but 25 follow the header"],
  [npy(GOOD).subarray(0, 40), "it ends after 40 bytes but"],
  [npy(descr(">f4")), "descr is '>f4', its bytes are in the other order"],
  [npy(descr("<f8")), "descr is '<f8', it is float64: save x.astype(numpy.float32)"],
  [npy(descr("<c8")), "descr is '<c8', wanted one of <f4"],
  [npy(descr("constructor")), "descr is 'constructor', wanted one of <f4"],
  [npy(GOOD.replace("False", "True")), "fortran_order is True but must be False"],
  [npy(GOOD.replace("(2, 3)", "(2, -3)")), "shape is (2, -3) but must be sizes"],
  [
    npy(GOOD.replace("(2, 3)", "(9007199254740991, 9)")),
    "shape (9007199254740991, 9) in '<f4' takes more than can be counted bytes but 24 follow",
  ],
  [npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}"), "its header is"],
  [npy("__import__('os')"), `its header is "__import__('os')" but must be a dictionary`],
  [npy("{'descr': '<f4', 'shape': (6,)}"), "its header is"],
  [npy(GOOD.replace("}", "'shape': (6,)}")), "its header has shape twice"],
  [npy(" ".repeat(20_000), 24, [2, 0]), "the length of its header is 20000 but must be at most"],
];

/** Fails unless a header is refused with this message. */
async function refused(
  read: (file: ByteFile) => Promise<unknown>,
  name: string,
  bytes: Uint8Array,
  message: string,
): Promise<void> {
  await assert.rejects(read(file(name, bytes)), (error: Error) => {
    assert.equal(error.name, "FileError");
    assert.ok(error.message.startsWith(`Cannot read ${name}: ${message}`), error.message);
    return true;
  });
}

Deno.test("a .npy file that lies is refused by field and value", async () => {
  for (const [bytes, message] of BAD_NPY) await refused(readNpyHeader, "x.npy", bytes, message);
});

Deno.test("every way to cut a .npy file short is refused", async () => {
  const bytes = joined(npyParts(tensor([2, 3], 1)));
  for (let length = 0; length < bytes.length; length++) {
    await refused(readNpyHeader, "x.npy", bytes.subarray(0, length), "");
  }
});

Deno.test("a safetensors file comes back as it was", async () => {
  const tensors = { q: tensor([2, 3], 1), k: tensor([0, 3], 2, "f16"), v: tensor([1], 3, "bf16") };
  const bytes = joined(safetensorsParts(tensors)), opened = file("x.safetensors", bytes);
  const listed = await readSafetensorsHeader(opened);
  assert.deepEqual([...listed.keys()], ["q", "k", "v"]);
  for (const [name, { data, shape }] of Object.entries(tensors)) {
    const found = await readStored(opened, listed.get(name) as StoredTensor);
    assert.deepEqual([found.data, found.shape], [data, shape]);
  }
  assert.equal((bytes.length - 8) % 2, 0);
});

Deno.test("types that calls do not take may lie beside others", async () => {
  const header = {
    __metadata__: { format: "pt" },
    a: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
    b: { dtype: "F64", shape: [2], data_offsets: [8, 24] },
    c: { dtype: "constructor", shape: [2], data_offsets: [24, 24] },
  };
  const listed = await readSafetensorsHeader(file("x.safetensors", safetensors(header)));
  for (const name of ["b", "c"] as const) {
    const { dtype, typeName } = listed.get(name)!;
    assert.deepEqual([dtype, typeName], [undefined, header[name].dtype]);
  }
});

const place = (begin: unknown, end: unknown, shape: unknown = [3], dtype: unknown = "F32") => ({
  ...{ dtype, shape, data_offsets: [begin, end] },
});
const BAD_SAFETENSORS: readonly (readonly [Uint8Array, string])[] = [
  [new Uint8Array(7), "it has 7 bytes, fewer than a length takes"],
  [
    new Uint8Array(8).fill(255),
    "the length of its header is 18446744073709552000 but must be at most 0",
  ],
  [safetensors("[1]"), `its header is "[1]" but must be a JSON object`],
  [safetensors("{"), `its header is "{" but must be a JSON object`],
  [safetensors({ a: 1 }), "dtype of a is undefined but must be a text like F32"],
  [safetensors({ a: place(0, 24, [-6]) }), "shape of a is [-6] but must be a list of sizes"],
  [safetensors({ a: place(0, 24, [2.5]) }), "shape of a is [2.5] but must be a list of sizes"],
  [
    safetensors({ a: place(24, 0, [6]) }),
    "data_offsets of a is [24, 0] but must be where it begins",
  ],
  [
    safetensors({ a: place(0, 24, [7]) }),
    "shape of a is [7] in F32, which takes 28 bytes, but its",
  ],
  [
    safetensors({ a: place(0, 24, [2 ** 30, 2 ** 30]) }),
    "shape of a is [1073741824,1073741824] in F32, which takes more than can be counted bytes",
  ],
  [
    safetensors({ a: place(0, 12), b: place(8, 20) }),
    "data_offsets of b begin at 8, inside of a",
  ],
  [safetensors({ a: place(0, 12), b: place(0, 12) }), "data_offsets of b begin at 0, inside of a"],
  [safetensors({ a: place(12, 24) }), "data_offsets leave 12 bytes before a to nobody"],
  [safetensors({ a: place(0, 12) }), "data_offsets end at 12 but 24 bytes follow the header"],
  [
    safetensors({ a: place(0, 12), b: place(12, 36, [6]) }),
    "data_offsets of b end at 36 but 24 bytes follow the header",
  ],
];

Deno.test("a safetensors file that lies is refused by field and value", async () => {
  for (const [bytes, message] of BAD_SAFETENSORS) {
    await refused(readSafetensorsHeader, "x.safetensors", bytes, message);
  }
});

Deno.test("every way to cut a safetensors file short is refused", async () => {
  const bytes = joined(safetensorsParts({ a: tensor([2, 3], 1) }));
  for (let length = 0; length < bytes.length; length++) {
    await refused(readSafetensorsHeader, "x.safetensors", bytes.subarray(0, length), "");
  }
});

Deno.test("names and values of files are cut and quoted in messages", async () => {
  const name = `\u001b[2J${"x".repeat(1e5)}`; // would clear a terminal
  const deep = "[".repeat(1e5) + "]".repeat(1e5), shape = new Array(1e4).fill(1);
  const good = { dtype: "F32", shape: [6], data_offsets: [0, 24] };
  const files: (readonly [(file: ByteFile) => Promise<unknown>, Uint8Array])[] = [
    ...[{ dtype: 1 }, { shape: name }, { shape }, { data_offsets: [24, 0] }].map(
      (odd) => [readSafetensorsHeader, safetensors({ [name]: { ...good, ...odd } })] as const,
    ),
    [readSafetensorsHeader, safetensors({ [name]: good, y: good })],
    [readSafetensorsHeader, safetensors({ y: good, [name]: good })],
    [readSafetensorsHeader, safetensors(`{"y":{"dtype":"F32","shape":${deep}}}`)],
    [readNpyHeader, npy(`{'${"x".repeat(4000)}': True, '${"x".repeat(4000)}': True}`)],
    [readNpyHeader, npy(GOOD.replace("<f4", `\u001b[2J${"x".repeat(5000)}`))],
    [readNpyHeader, npy(GOOD.replace("2, 3", `2, ${"3, ".repeat(2000)}`))],
    [readNpyHeader, npy(GOOD.replace("2, 3", `2, ${"x".repeat(2000)}`))],
  ];
  for (const [n, [read, bytes]] of files.entries()) {
    const error = await read(file("x", bytes)).then(() => undefined, (error: Error) => error);
    assert.equal(error?.name, "FileError", `${n}: ${error?.stack?.slice(0, 300)}`);
    assert.ok(error.message.length < 700, `${n}: ${error.message.length} characters`);
    assert.doesNotMatch(error.message, /\p{Cc}/u, `${n}`);
  }
});
