/** A model of LiteRT with one sum, written by hand: `y = a + b`. */

/** A table of a flat buffer: its fields by number; undefined ones are left out. */
interface Table {
  readonly fields: readonly (number | Value | undefined)[];
}
type Value = string | Int32Array | Table | readonly Table[];

function table(...fields: Table["fields"]): Table {
  return { fields };
}

/** Bytes of a flat buffer: whatever is referred to stands behind what refers to it. */
function encode(root: Table, identifier: string): Uint8Array {
  const bytes = [0, 0, 0, 0, ...new TextEncoder().encode(identifier)];
  const set = (at: number, value: number) => {
    for (let n = 0; n < 4; n++) bytes[at + n] = value >> 8 * n & 255;
  };
  const word = (value: number) => {
    set(bytes.length, value);
    return bytes.length - 4;
  };
  const align = () => {
    while (bytes.length % 4 !== 0) bytes.push(0);
  };
  const refer = (slot: number, value: Value) => set(slot, put(value) - slot);
  const putTable = ({ fields }: Table) => {
    // the sizes of this list and of the table, then where each field is; every field is a word
    const list = bytes.length, given = fields.filter((field) => field !== undefined);
    let end = 4;
    const places = fields.map((field) => field === undefined ? 0 : (end += 4) - 4);
    for (const n of [4 + 2 * fields.length, 4 + 4 * given.length, ...places]) {
      bytes.push(n & 255, n >> 8);
    }
    align();
    const at = word(bytes.length - list);
    const slots = given.map((field) => word(typeof field === "number" ? field : 0));
    given.forEach((field, n) => typeof field === "number" || refer(slots[n]!, field));
    return at;
  };
  const put = (value: Value): number => {
    align();
    if (typeof value === "string") {
      const text = new TextEncoder().encode(value), at = word(text.length);
      bytes.push(...text, 0);
      return at;
    }
    if ("fields" in value) return putTable(value);
    const at = word(value.length);
    if (value instanceof Int32Array) value.forEach(word);
    else {
      const slots = value.map(() => word(0));
      value.forEach((one, n) => refer(slots[n]!, one));
    }
    return at;
  };
  set(0, put(root));
  return new Uint8Array(bytes);
}

/** Bytes of the model for tensors of a shape. Field numbers are those of LiteRT's schema. */
export function sumModel(shape: readonly number[]): Uint8Array {
  const VERSION = 3, ADD = 0, FLOAT32 = 0, NO_BUFFER = 0, ADD_OPTIONS = 11;
  const tensor = (name: string) => table(Int32Array.from(shape), FLOAT32, NO_BUFFER, name);
  const inputs = Int32Array.of(0, 1), outputs = Int32Array.of(2);
  const operator = table(0, inputs, outputs, ADD_OPTIONS, table(0));
  const graph = table(["a", "b", "y"].map(tensor), inputs, outputs, [operator], "main");
  return encode(table(VERSION, [table(ADD, undefined, 1, ADD)], [graph], "sum", [table()]), "TFL3");
}
