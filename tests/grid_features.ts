/** The part of the grid about options: each alone, in every form, then all pairs. */

import { type Case, type CausalForm, defineCase } from "./case.ts";
import type { Section } from "./grid.ts";
import { coveringSection } from "./grid_pairs.ts";
import { everything, fewRows, inTurn, statistics } from "./selection.ts";

/** Shapes that cross tile borders on both axes, with more keys, more queries, and as many. */
const crossing = [[70, 131], [131, 70], [97, 97]] as const;

const causalForms: CausalForm[] = [
  true,
  "bottom-right",
  "top-left",
  ...[0, 5, 64, -5, -70, 1000, -1000, 2 ** 40, -(2 ** 40)].map((offset) => ({ offset })),
  { offset: [-3, 40] },
  { offset: [2 ** 31 - 1, -(2 ** 31)] },
];

const causalSection: Section = {
  title: "causal forms",
  cases: causalForms.flatMap((causal, n) =>
    crossing.map(([lengthQ, lengthK], m) =>
      inTurn(
        n % 3 === m,
        defineCase({ batch: 2, queryHeads: 2, kvHeads: 1, lengthQ, lengthK, headDim: 12, causal }),
      )
    )
  ),
};

const windows = [
  ...[{ left: 0, right: 0 }, { left: 10 }, { right: 10 }, { left: 3, right: 70 }, {}],
  ...[{ left: 64, right: 64 }, { left: 5, right: 5 }, { left: 1000, right: 1000 }],
];

const windowSection: Section = {
  title: "windows",
  cases: windows.flatMap((window, n) =>
    crossing.flatMap(([lengthQ, lengthK], m) => [
      inTurn(
        n % 3 === m,
        defineCase({ queryHeads: 2, lengthQ, lengthK, headDim: 12, window }),
      ),
      inTurn(
        (n + 1) % 3 === m,
        defineCase({ queryHeads: 2, lengthQ, lengthK, headDim: 12, window, causal: true }),
      ),
    ])
  ).concat(
    // Rows past the last key with a narrow window, and offsets outside the keys: nothing to see.
    defineCase({ lengthQ: 131, lengthK: 40, window: { left: 8 }, causal: "top-left" }),
    defineCase({ lengthQ: 70, lengthK: 70, window: { left: 8 }, causal: { offset: 300 } }),
    defineCase({ lengthQ: 70, lengthK: 70, window: { right: 4 }, causal: { offset: -300 } }),
    defineCase({ lengthQ: 300, lengthK: 300, window: { left: 30, right: 2 }, headDim: 32 }),
    defineCase({ lengthQ: 400, lengthK: 400, window: { left: 16 }, causal: true, headDim: 32 }),
  ),
};

const maskAxes = ["bhqk", "1hqk", "b1qk", "11qk", "qk", "b11k", "bh1k", "k", "bhq1", "1111", "hqk"];

const broadcastShape = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 45, lengthK: 70 };

const maskSection: Section = {
  title: "masks",
  cases: maskAxes.map((axes) =>
    defineCase({ ...broadcastShape, mask: { axes, pattern: "random" } })
  ).concat(
    (["padding", "documents", "prefix", "dilated", "blocks", "empty rows", "nothing"] as const)
      .flatMap((pattern) => [
        defineCase({ ...broadcastShape, headDim: 10, mask: { axes: "b1qk", pattern } }),
        defineCase({ queryHeads: 2, kvHeads: 1, lengthQ: 150, mask: { axes: "hqk", pattern } }),
      ]),
    defineCase({
      lengthQ: 300,
      lengthK: 333,
      headDim: 32,
      mask: { axes: "qk", pattern: "blocks" },
    }),
    defineCase({ batch: 2, lengthQ: 40, lengthK: 50, mask: { axes: "b11k", pattern: "padding" } }),
  ),
};

const biasSection: Section = {
  title: "biases",
  cases: maskAxes.flatMap((bias) => [
    defineCase({ ...broadcastShape, bias }),
    defineCase({ ...broadcastShape, lengthQ: 70, lengthK: 40, bias, causal: true, dLse: true }),
  ]).concat(
    defineCase({ ...broadcastShape, bias: "bhqk", biasHoles: true }),
    defineCase({ ...broadcastShape, bias: "1h1k", biasHoles: true, layout: "bhsd" }),
    defineCase({ ...broadcastShape, bias: "qk", biasHoles: true, causal: true }),
    defineCase({ lengthQ: 260, lengthK: 270, headDim: 32, bias: "qk" }),
  ),
};

const alibiSection: Section = {
  title: "ALiBi slopes",
  cases: (["h", "bh"] as const).flatMap((alibiSlopes) => [
    defineCase({ ...broadcastShape, alibiSlopes }),
    defineCase({
      ...broadcastShape,
      alibiSlopes,
      causal: true,
      lengthQ: 70,
      layout: "bhsd",
      dLse: true,
    }),
    defineCase({
      ...broadcastShape,
      alibiSlopes,
      causal: { offset: [9, -20] },
      window: { left: 30 },
    }),
  ]).concat(
    crossing.map(([lengthQ, lengthK]) =>
      defineCase({
        queryHeads: 2,
        lengthQ,
        lengthK,
        headDim: 12,
        alibiSlopes: "h",
        causal: "top-left",
      })
    ),
    defineCase({ lengthQ: 300, lengthK: 333, headDim: 32, alibiSlopes: "h" }),
    defineCase({ queryHeads: 2, lengthQ: 2000, lengthK: 30, headDim: 8, alibiSlopes: "h" }),
    defineCase({
      ...broadcastShape,
      alibiSlopes: "bh",
      keyLengths: [33, 0],
      softcap: 5,
      bias: "qk",
    }),
    ...[1, 3].map((lengthQ) =>
      defineCase({
        ...{ batch: 2, queryHeads: 8, kvHeads: 2, lengthQ, lengthK: 1100, headDim: 40 },
        ...{ alibiSlopes: "bh", causal: true, dtype: lengthQ === 1 ? "f32" : "f16" },
      })
    ),
  ),
};

/** Shapes that the CPU cuts up: backward in KV splits, and in regions of rows as well; decode in splits. */
const cutUp: readonly Partial<Case>[] = [
  { batch: 2, queryHeads: 2, kvHeads: 1, lengthQ: 60, lengthK: 800, headDim: 36, valueDim: 20 },
  { queryHeads: 2, kvHeads: 1, lengthQ: 520, lengthK: 1600, headDim: 5, valueDim: 4 },
  { queryHeads: 8, kvHeads: 1, lengthQ: 1, lengthK: 3000, headDim: 128, valueDim: 130 },
];

const sinkSection: Section = {
  title: "sinks",
  cases: [
    ...cutUp.map((shape) => defineCase({ ...shape, sink: true, alibiSlopes: "h", bias: "1hqk" })),
    defineCase({ ...broadcastShape, lengthQ: 0, sink: true, alibiSlopes: "h" }),
    defineCase({ ...broadcastShape, lengthQ: 2, lengthK: 0, sink: true, alibiSlopes: "bh" }),
    defineCase({ ...broadcastShape, sink: true }),
    defineCase({ ...broadcastShape, sink: true, causal: true, layout: "bhsd", dLse: true }),
    // rows that see nothing but the sink
    defineCase({ lengthQ: 131, lengthK: 40, window: { left: 8 }, causal: "top-left", sink: true }),
    defineCase({ ...broadcastShape, sink: true, keyLengths: [33, 0], dLse: true }),
    defineCase({
      ...broadcastShape,
      sink: true,
      mask: { axes: "b1qk", pattern: "empty rows" },
      alibiSlopes: "h",
    }),
    defineCase({ batch: 2, queryHeads: 2, lengthQ: 5, lengthK: 0, sink: true, dLse: true }),
    defineCase({ ...broadcastShape, lengthQ: 9, lengthK: 0, sink: true, dLse: true }),
    defineCase({ lengthQ: 300, lengthK: 333, headDim: 32, sink: true, softcap: 15 }),
    ...[1, 3].map((lengthQ) =>
      defineCase({
        ...{ batch: 2, queryHeads: 8, kvHeads: 2, lengthQ, lengthK: 1100, headDim: 40 },
        ...{ sink: true, causal: true, dtype: lengthQ === 1 ? "f32" : "f16" },
      })
    ),
    defineCase({ queryHeads: 4, kvHeads: 1, lengthQ: 1, lengthK: 3000, headDim: 64, sink: true }),
  ],
};

const dropoutSection: Section = {
  title: "dropout",
  cases: [
    ...cutUp.map((shape) => defineCase({ ...shape, dropout: 0.2, bias: "1hqk" })),
    ...crossing.map(([lengthQ, lengthK]) =>
      defineCase({ queryHeads: 2, lengthQ, lengthK, headDim: 12, dropout: 0.1 })
    ),
    defineCase({ ...broadcastShape, lengthQ: 0, dropout: 0.5 }),
    defineCase({ ...broadcastShape, lengthK: 0, dropout: 0.5 }),
    ...[1e-9, 0.5, 0.99, 1 - 2 ** -53].map((dropout) => defineCase({ ...broadcastShape, dropout })),
    defineCase({ ...broadcastShape, dropout: 0.3, causal: true, layout: "bhsd", dLse: true }),
    defineCase({ ...broadcastShape, dropout: 0.3, keyLengths: [33, 0], softcap: 5 }),
    defineCase({
      ...{ ...broadcastShape, lengthQ: 130, lengthK: 140, dropout: 0.3 },
      ...{ mask: { axes: "b1qk", pattern: "documents" } },
    }),
    defineCase({ lengthQ: 300, lengthK: 333, headDim: 32, dropout: 0.1, window: { left: 45 } }),
    ...[1, 3].map((lengthQ) =>
      defineCase({
        ...{ batch: 2, queryHeads: 8, kvHeads: 2, lengthQ, lengthK: 1100, headDim: 40 },
        ...{ dropout: 0.3, causal: true, dtype: lengthQ === 1 ? "f32" : "f16" },
      })
    ),
    defineCase({ queryHeads: 4, kvHeads: 1, lengthQ: 1, lengthK: 3000, headDim: 64, dropout: 0.1 }),
  ],
};

/** Functions of scores and masks alone and together: every one in some shape. */
const modSection: Section = {
  title: "functions of scores and masks",
  cases: [
    ...(["alibi", "relative", "softcap", "temperature", "sine", "buckets"] as const).flatMap(
      (scoreMod) => [
        defineCase({ ...broadcastShape, scoreMod }),
        defineCase({ ...broadcastShape, lengthQ: 70, lengthK: 134, scoreMod, causal: true }),
        defineCase({ ...fewRows, lengthK: 700, scoreMod }),
      ],
    ),
    ...(["prefix", "documents", "dilated", "global", "strided", "heads"] as const).flatMap(
      (maskMod) => [
        defineCase({ ...broadcastShape, maskMod }),
        defineCase({ ...broadcastShape, lengthQ: 140, lengthK: 140, maskMod, dLse: true }),
        defineCase({ ...fewRows, lengthK: 700, maskMod }),
      ],
    ),
    ...(["learned", "bent"] as const).flatMap((scoreMod) => [
      defineCase({ ...broadcastShape, scoreMod, causal: true, bias: "bhqk" }),
      defineCase({ ...broadcastShape, lengthQ: 140, lengthK: 134, scoreMod, dLse: true }),
      defineCase({ ...broadcastShape, scoreMod, maskMod: "documents", dropout: 0.3, sink: true }),
      defineCase({ ...broadcastShape, scoreMod, dtype: "f16", keyLengths: [9, 0], softcap: 5 }),
      ...(scoreMod === "bent" ? cutUp : []).map((shape) => defineCase({ ...shape, scoreMod })),
    ]),
    ...crossing.flatMap(([lengthQ, lengthK]) => [
      defineCase({
        ...{ batch: 2, queryHeads: 4, kvHeads: 2, lengthQ, lengthK, headDim: 12 },
        ...{ scoreMod: "softcap", maskMod: "prefix", keyLengths: [0, 39], dLse: true },
      }),
      defineCase({
        ...{ queryHeads: 4, kvHeads: 2, lengthQ, lengthK, headDim: 12, causal: "top-left" },
        ...{ scoreMod: "alibi", maskMod: "documents", layout: "bhsd" },
      }),
    ]),
    ...cutUp.map((shape) =>
      defineCase({ ...shape, scoreMod: "alibi", maskMod: "documents", causal: true })
    ),
    defineCase({ ...fewRows, lengthK: 700, scoreMod: "alibi", maskMod: "documents", causal: true }),
    defineCase({ ...broadcastShape, lengthQ: 0, scoreMod: "bent", maskMod: "prefix" }),
    defineCase({ ...broadcastShape, lengthK: 0, scoreMod: "bent", maskMod: "prefix" }),
  ],
};

const heldBlocks: NonNullable<Case["blockMask"]> = {
  made: "blocks",
  mask: "documents",
  size: [16, 32],
};

/** Block masks, of functions and of lists, with blocks that engines' tiles divide and others. */
const blockSection: Section = {
  title: "block masks",
  cases: [
    ...(["prefix", "documents", "dilated", "global", "strided", "heads"] as const).flatMap(
      (mask) =>
        ([[5, 7], [16, 32], [128, 128]] as const).map((size, n) =>
          defineCase({
            ...{ ...broadcastShape, lengthQ: [45, 140, 200][n]!, lengthK: [70, 140, 290][n]! },
            ...{ blockMask: { made: "blocks", mask, size }, dLse: n > 0 },
          })
        ),
    ),
    ...([
      ...[[[5, 7]], [[16, 32], "documents"], [[64, 16], "heads"], [[128, 128]]],
      ...[[[500, 500], "documents"]],
    ] as [size: [number, number], mask?: "documents" | "heads"][]).map(([size, mask]) =>
      defineCase({
        ...{ ...broadcastShape, lengthQ: 140, lengthK: 300 },
        blockMask: { made: "lists", size, ...mask && { mask } },
      })
    ),
    // on a GPU, kernels that other cases have: alibi and documents
    ...[[70, 134], [200, 180], [256, 160]].map(([lengthQ, lengthK]) =>
      defineCase({
        ...{ queryHeads: 2, kvHeads: 1, lengthQ: lengthQ!, lengthK: lengthK! },
        ...{ scoreMod: "alibi", blockMask: heldBlocks },
      })
    ),
    ...[{}, { causal: true }, { window: { left: 40 } }, { batch: 2, keyLengths: [33, 160] }].map(
      (more) =>
        defineCase({
          ...{ queryHeads: 2, kvHeads: 1, lengthQ: 110, lengthK: 160, ...more as Partial<Case> },
          blockMask: { made: "lists", size: [16, 32], mask: "documents" },
        }),
    ),
    defineCase({
      ...{ ...broadcastShape, lengthQ: 110, lengthK: 160, causal: { offset: 9 } },
      blockMask: { made: "blocks", size: [32, 32], mask: "prefix" },
    }),
    ...cutUp.map((shape) =>
      defineCase({
        ...{ ...shape, causal: true, dropout: 0.2 },
        blockMask: { made: "lists", size: [64, 128] },
      })
    ),
    ...([
      heldBlocks,
      { made: "blocks", mask: "prefix", size: [1, 64] },
      { made: "lists", size: [1, 64] },
      { made: "lists", size: [2, 100], mask: "documents" },
    ] as const).map((blockMask) =>
      defineCase({ ...fewRows, lengthK: 700, scoreMod: "alibi", blockMask })
    ),
    defineCase({ ...broadcastShape, lengthQ: 0, blockMask: heldBlocks }),
    defineCase({ ...broadcastShape, lengthK: 0, blockMask: heldBlocks }),
  ],
};

const batchOfThree = {
  batch: 3,
  queryHeads: 2,
  kvHeads: 1,
  lengthQ: 40,
  lengthK: 70,
  headDim: 10,
};

/** Rotary positions in every form, in every way in which operands are cut up. */
const rotarySection: Section = {
  title: "rotary positions",
  cases: [
    ...([
      ...[{}, { interleaved: true }, { dims: 6 }, { dims: 10, interleaved: true }, { base: 500 }],
      ...[{ positions: "shared" }, { positions: "each", interleaved: true }, { positions: "far" }],
      ...[{ tables: true }, { tables: true, positions: "each", dims: 4 }, { keys: false }],
    ] as const).flatMap((rotary, n) => [
      defineCase({ ...broadcastShape, rotary, causal: n % 2 ? true : undefined }),
      inTurn(
        n % 2 === 0,
        defineCase({
          ...broadcastShape,
          rotary,
          lengthQ: 70,
          lengthK: 133,
          headDim: 12,
          dLse: true,
        }),
      ),
      defineCase({ ...fewRows, lengthK: 700, rotary }),
    ]),
    // more queries than keys: the first ones stand before position 0
    ...crossing.map(([lengthQ, lengthK]) =>
      defineCase({ queryHeads: 2, lengthQ, lengthK, headDim: 12, rotary: {}, layout: "bhsd" })
    ),
    ...([{}, { tables: true, positions: "each" }] as const).flatMap((rotary) => [
      defineCase({ ...batchOfThree, rotary, keyLengths: [0, 1, 70], causal: true }),
      defineCase({ ...batchOfThree, rotary, keyLengths: [65, 63, 17], lengthQ: 2 }),
    ]),
    ...cutUp.map((shape) => defineCase({ ...shape, rotary: { dims: 4 }, bias: "1hqk" })),
    ...[[2, 2], [3, 2], [33, 32], [33, 22]].map(([headDim, dims]) =>
      defineCase({ lengthQ: 19, lengthK: 37, headDim: headDim!, rotary: { dims: dims! } })
    ),
    ...(["f16", "bf16"] as const).flatMap((dtype) =>
      [{}, { interleaved: true, keys: false }].map((rotary) =>
        defineCase({ ...broadcastShape, rotary, dtype, arrangement: "padded rows" })
      )
    ),
    ...(["f16", "bf16"] as const).map((dtype) =>
      defineCase({ ...fewRows, lengthK: 700, dtype, rotary: {}, causal: true })
    ),
    defineCase({ ...broadcastShape, lengthQ: 0, rotary: {} }),
    defineCase({ ...broadcastShape, lengthK: 0, rotary: {} }),
    defineCase({ lengthQ: 300, lengthK: 333, headDim: 64, rotary: {}, causal: true }),
  ],
};

const keyLengthSection: Section = {
  title: "key lengths",
  cases: [[0, 1, 70], [70, 69, 64], [33, 0, 2], [65, 63, 17]].flatMap((keyLengths) =>
    ([undefined, true, "top-left", { offset: [0, 3, -2] }] as const).flatMap((causal) => [
      defineCase({ ...batchOfThree, keyLengths, causal }),
      defineCase({ ...batchOfThree, keyLengths, causal, window: { left: 9, right: 20 } }),
    ])
  ),
};

const ofStatistics: Partial<Case> = {
  ...{ batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 40, lengthK: 70, headDim: 12 },
  ...statistics,
};

const statisticSection: Section = {
  title: "statistics of rows",
  cases: [
    ...[{}, { causal: true, dLse: true }, { amplitude: 5, layout: "bhsd" }, { lengthK: 1100 }],
    ...[{ window: { left: 9, right: 3 } }, { keyLengths: [0, 33] }, { causal: { offset: -7 } }],
    ...[{ sink: true }, { sink: true, causal: { offset: -7 } }, { sink: true, lengthQ: 2 }],
    ...[{ dropout: 0.3 }, { softcap: 2 }, { alibiSlopes: "bh" }, { bias: "1hqk", biasHoles: true }],
    ...[{ mask: { axes: "b1qk", pattern: "empty rows" } }, { dtype: "f16" }, { lengthK: 1 }],
    ...[{ lengthQ: 700, lengthK: 700, causal: true, batch: 1 }, { lengthK: 0 }],
  ].map((options) => defineCase({ ...ofStatistics, ...options as Partial<Case> })).concat(
    [{ lengthK: 700 }, { lengthK: 3000, causal: true } as const, { lengthK: 3000, sink: true }]
      .map((options) =>
        defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 2, headDim: 20, stats: true, ...options })
      ),
    defineCase({ ...ofStatistics, headDim: 64, dEntropy: undefined }),
    defineCase({ ...ofStatistics, stats: undefined }),
  ),
};

const scoreSection: Section = {
  title: "softcap, scale and large scores",
  cases: [0.7, 2, 15, 30, 50].flatMap((softcap) => [
    defineCase({ queryHeads: 2, kvHeads: 1, lengthQ: 40, lengthK: 70, headDim: 24, softcap }),
    defineCase({ queryHeads: 2, lengthQ: 70, headDim: 24, softcap, amplitude: 5, causal: true }),
  ]).concat(
    [0, 0.01, 1].map((softmaxScale) =>
      defineCase({ queryHeads: 2, lengthQ: 40, lengthK: 70, headDim: 24, softmaxScale })
    ),
    // Overflow tests of FlashAttention: q times 5 at the lengths that once broke.
    [1, 2, 5, 17, 128].flatMap((length) => [
      defineCase({ queryHeads: 2, lengthQ: length, headDim: 64, amplitude: 5 }),
      defineCase({ queryHeads: 2, lengthQ: length, headDim: 64, amplitude: 5, causal: true }),
    ]),
    defineCase({ lengthQ: 130, headDim: 32, amplitude: 50, causal: true }),
    defineCase({ lengthQ: 64, headDim: 32, softmaxScale: 1, amplitude: 5, dtype: "f16" }),
    defineCase({ lengthQ: 64, headDim: 32, softcap: 15, amplitude: 5, dtype: "bf16" }),
  ),
};

/** All that acts on scores at once, with and without what is free beside it. */
const togetherSection: Section = {
  title: "all options together",
  cases: [
    ...[{}, { causal: true, layout: "bhsd" }, {
      window: { left: 30, right: 5 },
      dLse: true,
      biasHoles: true,
    }],
    ...[{ keyLengths: [0, 97] }, { causal: { offset: [7, -4] }, keyLengths: [134, 50] }],
    ...[{ ...statistics, causal: true, dLse: true }, { rotary: { dims: 8 }, causal: true }],
  ].flatMap((options) =>
    [undefined, true].map((sink) =>
      defineCase({
        ...{ batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 70, lengthK: 134, headDim: 12 },
        ...{ ...everything, ...options as Partial<Case>, sink },
      })
    )
  ).concat(
    defineCase({
      ...{ queryHeads: 4, kvHeads: 2, lengthQ: 2, lengthK: 600, headDim: 20 },
      ...{ ...everything, causal: true, sink: true },
    }),
    defineCase({
      ...{ queryHeads: 4, kvHeads: 2, lengthQ: 2, lengthK: 2500, headDim: 20 },
      ...{ ...everything, causal: true, sink: true, ...statistics },
    }),
    defineCase({
      ...{ batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 70, lengthK: 134, headDim: 12 },
      ...{ ...everything, scoreMod: "relative", maskMod: "prefix", keyLengths: [97, 134] },
    }),
  ),
};

/** Options one at a time. */
export const optionSections: readonly Section[] = [
  rotarySection,
  causalSection,
  windowSection,
  maskSection,
  alibiSection,
  biasSection,
  keyLengthSection,
  sinkSection,
  dropoutSection,
  scoreSection,
  statisticSection,
];

/** Of functions that callers write. */
export const functionSections: readonly Section[] = [modSection, blockSection];

/** Of several options at once. */
export const combinedSections: readonly Section[] = [coveringSection, togetherSection];

/** Everything about options but pairs by themselves. */
export const featureSections: readonly Section[] = [
  ...optionSections,
  ...functionSections,
  ...combinedSections,
];
