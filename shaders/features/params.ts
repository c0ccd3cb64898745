// The uniform block of every kernel: sizes, scalars, and where each operand begins and how far apart its
// axes lie, in elements. One table makes the WGSL struct and the words that the host writes.
import { FEATURES } from "../../src/problem/features/table.ts";
import { shaderName } from "../../src/tensor/operands.ts";
import { ADDRESS_FIELDS } from "../parts/address.ts";
import { UNIFORM_BINDING } from "../parts/bindings.ts";

const SIZES: readonly string[] = [
  "length_q", // query rows of a head within the region
  "length_k",
  "batch", // sequences of the region
  "group", // query heads of a kv head
  "kv_heads",
  "head_dim",
  "value_dim",
  "num_splits", // KV splits of a row
  "split_rows", // rows of a split
  "item_base", // first work item of the dispatch
  "accumulate", // whether results are added to what is there
  "batch_begin", // where the region begins in the call
  "head_begin", // of query heads
  "kv_head_begin",
  "query_begin",
  "key_begin",
  "count", // elements of an elementwise kernel
  "source_at", // and where it reads and writes
  "target_at",
  "query_count", // queries of a sequence in the call
  "verdicts_at", // verdicts of the host about the tiles of an item: words from item 0 on, and words of each
  "classified_at", // those that a kernel found
  "verdict_words",
  "tile_rows", // the tiles that they are about
  "tile_columns",
  "pages_at", // the page table of a cache in the schedule: words of a sequence, rows of a page, and the row that is key 0
  "page_columns",
  "page_rows",
  "page_shift", // the power of two that they are, or that they do not reach where a sequence has one page
  "first_row",
  ...FEATURES.filter(({ traced }) => traced).map(({ name }) => `${shaderName(name)}_at`),
];
const WORDS = FEATURES.flatMap(({ words = {} }) => Object.keys(words).map(shaderName));
const SCALARS: readonly string[] = [
  "scale",
  "neg_inf",
  ...FEATURES.flatMap(({ scalars = {} }) => Object.keys(scalars).map(shaderName)),
];

/** Word of each field. */
export const FIELDS: ReadonlyMap<string, number> = new Map(
  [
    ...SIZES,
    ...SCALARS,
    ...WORDS,
    ...[...ADDRESS_FIELDS.values()].flat(),
  ].map((name, word) => [name, word]),
);

/** Bytes from one block to the next: offsets of uniform buffers are multiples of 256. */
export const PARAMS_BYTES = 768;

/** WGSL of the block. */
export const PARAMS: string = `struct Params {
${
  [...FIELDS.keys()].map((name) => `  ${name}: ${SCALARS.includes(name) ? "f32" : "u32"},`).join(
    "\n",
  )
}
};
@group(0) @binding(${UNIFORM_BINDING}) var<uniform> U: Params;`;

/** Words that hold floats, and the one that always does. */
const FLOATS: ReadonlySet<number> = new Set(SCALARS.map((name) => FIELDS.get(name)!));
const NEG_INF = FIELDS.get("neg_inf")!;

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
  for (const name in values) {
    const word = FIELDS.get(name), value = values[name]!;
    if (word === undefined) throw new TypeError(`no parameter ${name}`);
    if (FLOATS.has(word)) floats[at + word] = value;
    else words[at + word] = value;
  }
  floats[at + NEG_INF] = -Infinity; // WGSL cannot write it down
}
