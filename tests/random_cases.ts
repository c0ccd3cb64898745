/** Problems drawn at random: sizes, layouts, storage and options in any combination. */

import fc from "fast-check";
import { type Case, caseWork, defineCase } from "./case.ts";
import { HEADS } from "./mods.ts";

const length = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 24 }) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 140 }) },
  { weight: 1, arbitrary: fc.constantFrom(31, 32, 33, 63, 64, 65, 127, 128, 129, 256, 257) },
);
const dim = fc.oneof(
  fc.integer({ min: 1, max: 36 }),
  fc.constantFrom(40, 48, 63, 64, 65, 80, 100, 128),
);
const side = fc.integer({ min: 0, max: 150 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const axes = fc.constantFrom(
  "bhqk",
  "1hqk",
  "b1qk",
  "11qk",
  "qk",
  "hqk",
  "b11k",
  "bh1k",
  "k",
  "q1",
);

/** Blocks of any size, of functions and of lists. */
const blockForms = fc.tuple(
  fc.constantFrom("blocks", "lists"),
  fc.tuple(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 70 })),
  fc.constantFrom("prefix", "documents", "heads"),
).map(([made, size, mask]): NonNullable<Case["blockMask"]> => ({ made, size, mask } as const));

/** Rotary positions, of any share of the columns. */
const turns = fc.record({
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  interleaved: fc.boolean(),
  keys: fc.constantFrom(true, true, false),
  positions: fc.constantFrom(undefined, "shared", "each", "far"),
}).map(({ share, positions, ...form }) => ({ share, ...form, ...positions && { positions } }));

/** The form for so many columns. */
function rotaryOf(
  turn: { readonly share: number } & NonNullable<Case["rotary"]> | undefined,
  headDim: number,
): Case["rotary"] {
  if (!turn || headDim < 2) return undefined;
  const { share, ...form } = turn;
  return { ...form, dims: 2 * Math.max(1, Math.round(share * Math.floor(headDim / 2))) };
}

/** Any problem of moderate size, with any options. */
export const randomCases: fc.Arbitrary<Case> = fc.record({
  batch: fc.integer({ min: 1, max: 3 }),
  kvHeads: fc.integer({ min: 1, max: 3 }),
  group: fc.constantFrom(1, 1, 2, 3, 4, 8),
  lengthQ: length,
  lengthK: length,
  headDim: dim,
  valueDim: dim,
  layout: fc.constantFrom("bshd", "bhsd"),
  format: fc.constantFrom(["f32", "bits"], ["f32", "bits"], ["f16", "Float16Array"], [
    "bf16",
    "bits",
  ]),
  arrangement: fc.constantFrom("packed", "packed", "padded rows", "transposed", "view"),
  amplitude: fc.constantFrom(1, 1, 1, 5),
  // Not 0, which the grid has: equal scores make roundings systematic, and the tolerance takes them as independent.
  softmaxScale: maybe(fc.constantFrom(0.05, 0.3, 1)),
  softcap: maybe(fc.constantFrom(0.7, 3, 15, 50)),
  causal: maybe(fc.oneof(
    fc.constantFrom(true, "bottom-right", "top-left"),
    fc.record({ offset: fc.integer({ min: -150, max: 150 }) }),
    fc.record({
      offset: fc.array(fc.integer({ min: -40, max: 40 }), { minLength: 3, maxLength: 3 }),
    }),
  )),
  window: maybe(fc.record({ left: side, right: side }, { requiredKeys: [] })),
  keyFractions: maybe(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), {
    minLength: 3,
    maxLength: 3,
  })),
  bias: maybe(axes),
  biasHoles: fc.boolean(),
  mask: maybe(fc.record({
    axes,
    pattern: fc.constantFrom("random", "padding", "documents", "blocks", "empty rows", "prefix"),
  })),
  alibiSlopes: maybe(fc.constantFrom("h", "bh")),
  sink: maybe(fc.constant(true)),
  dropout: maybe(fc.constantFrom(0.1, 0.5)),
  // each that differs is a text to compile
  scoreMod: fc.constantFrom(undefined, undefined, undefined, "alibi", "softcap", "sine"),
  maskMod: fc.constantFrom(undefined, undefined, undefined, "prefix", "documents", "strided"),
  blockMask: maybe(blockForms),
  dLse: fc.boolean(),
  turn: maybe(turns),
}).map(({ group, format: [dtype, storage], keyFractions, causal, blockMask, turn, ...fields }) =>
  defineCase({
    ...fields,
    rotary: rotaryOf(turn, fields.headDim),
    ...blockMask && !fields.maskMod && { blockMask },
    dtype,
    storage,
    queryHeads: fields.kvHeads * group,
    // Lists of one number a sequence are drawn for the largest batch and cut to this one's.
    causal: (typeof causal === "object" && Array.isArray(causal.offset)
      ? { offset: causal.offset.slice(0, fields.batch) }
      : causal) as Case["causal"],
    keyLengths: keyFractions?.slice(0, fields.batch).map((part) =>
      Math.round(part * fields.lengthK)
    ),
  })
).filter((c) => caseWork(c) < 2e7 && (c.scoreMod !== "alibi" || c.queryHeads <= HEADS));
