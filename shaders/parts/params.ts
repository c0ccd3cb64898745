// The uniform block of every kernel: sizes, scalars, and where each operand begins and how far apart its
// axes lie, in elements. One table makes the WGSL struct and the words that the host writes.

/** Operands with an address of their own: begin, and strides of batch, head and row. */
export const ADDRESSED = [
  "q",
  "k",
  "v",
  "out",
  "lse",
  "dout",
  "dlse",
  "dq",
  "dk",
  "dv",
  "bias",
  "mask",
] as const;

/** Name of an operand in shaders. */
export type ShaderOperand = typeof ADDRESSED[number];

const SIZES = [
  "length_q", // query rows of a head within the window
  "length_k",
  "batch", // sequences of the window
  "group", // query heads of a kv head
  "kv_heads",
  "head_dim",
  "value_dim",
  "parts", // slots of partial results
  "part_rows", // rows of a slot
  "item_base", // first work item of the dispatch
  "sequence_base", // word of `tables` where the sequences begin
  "mask_byte", // byte of `tables` where the mask begins
] as const;
const SCALARS = ["scale", "softcap", "neg_inf"] as const;

/** Word of each field. */
export const FIELDS: ReadonlyMap<string, number> = new Map(
  [
    ...SIZES,
    ...SCALARS,
    ...ADDRESSED.flatMap((name) => ["at", "batch", "head", "row"].map((axis) => `${name}_${axis}`)),
    "bias_column",
    "mask_column",
  ].map((name, word) => [name, word]),
);

/** Bytes from one block to the next: offsets of uniform buffers are multiples of 256. */
export const PARAMS_BYTES = 512;

/** WGSL of the block. */
export const PARAMS: string = `struct Params {
${
  [...FIELDS.keys()].map((name) =>
    `  ${name}: ${(SCALARS as readonly string[]).includes(name) ? "f32" : "u32"},`
  ).join("\n")
}
};
@group(0) @binding(0) var<uniform> U: Params;`;

/** Values of a block; missing fields are 0. */
export type ParamValues = Readonly<Record<string, number>>;

/** Writes a block into `words` and `floats`, two views of the same bytes, from word `at` on. */
export function writeParams(
  words: Uint32Array,
  floats: Float32Array,
  at: number,
  values: ParamValues,
): void {
  words.fill(0, at, at + PARAMS_BYTES / 4);
  for (const [name, value] of Object.entries(values)) {
    const word = FIELDS.get(name);
    if (word === undefined) throw new TypeError(`no parameter ${name}`);
    if ((SCALARS as readonly string[]).includes(name)) floats[at + word] = value;
    else words[at + word] = value;
  }
  floats[at + FIELDS.get("neg_inf")!] = -Infinity; // WGSL cannot write it down
}

/** `fn q_row(b, h, i)`: the element where a row begins. */
export function rowFunction(name: ShaderOperand): string {
  return `fn ${name}_row(b: u32, h: u32, i: u32) -> u32 {
  return U.${name}_at + b * U.${name}_batch + h * U.${name}_head + i * U.${name}_row;
}`;
}
