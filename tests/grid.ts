/**
 * The shared case list: every backend runs it, forward and backward. Sizes keep the whole list within seconds for the
 * float64 oracle. Single subjects are here; `grid_features.ts` has the options, `grid_pairs.ts` their pairs.
 */

import { type Case, caseName, defineCase } from "./case.ts";
import { featureSections } from "./grid_features.ts";
import { pairSection } from "./grid_pairs.ts";
import { fewRows, inTurn, isSmall, outOfTurn } from "./selection.ts";

/** Cases about one subject. */
export interface Section {
  readonly title: string;
  readonly cases: readonly Case[];
}

/** Head dims with a meaning for kernels: tails of every kind, the usual ones, the largest. */
const headDims = [
  ...[1, 2, 3, 8, 16, 32, 34, 35, 40, 59, 64, 77, 80, 96, 99, 111, 128, 160, 192, 224, 256],
];

const valueDims = [[192, 128], [64, 128], [64, 256], [40, 24], [3, 5], [1, 17], [16, 1]] as const;

/** [lengthQ, lengthK] of FlashAttention's and metal-flash-attention's tests, and the edges of our tiles. */
const lengths = [
  ...[[1, 1], [1, 3], [2, 1], [2, 2], [3, 3], [4, 1], [5, 5], [8, 2], [9, 2], [10, 3], [17, 17]],
  ...[[23, 2], [24, 2], [25, 2], [7, 63], [63, 65], [65, 63], [64, 1], [64, 32], [64, 128]],
  ...[[93, 32], [97, 97], [99, 35], [108, 256], [113, 128], [113, 203], [113, 211], [127, 512]],
  ...[[127, 513], [128, 128], [128, 192], [128, 217], [129, 129], [192, 77], [200, 200]],
  ...[[239, 1], [1, 239], [255, 255], [255, 256], [256, 512], [257, 257], [300, 300], [307, 256]],
  ...[[333, 444], [384, 95], [384, 256], [3, 513], [500, 512], [511, 1], [512, 256], [512, 500]],
  ...[[3, 799], [799, 3], [640, 128], [777, 199], [1024, 128], [1023, 1024], [1024, 1023]],
  ...[[1025, 1025]],
] as [lengthQ: number, lengthK: number][];

/** [batch, queryHeads, kvHeads]: plain, grouped, multi-query. */
const heads = [
  ...[[1, 2, 2], [1, 2, 1], [2, 3, 1], [1, 4, 1], [3, 4, 2], [1, 8, 1], [2, 6, 2], [1, 9, 3]],
  ...[[2, 16, 2], [3, 6, 6]],
] as [batch: number, queryHeads: number, kvHeads: number][];

const zeroLengths: Section = {
  title: "zero lengths",
  cases: ([[0, 0], [0, 5], [5, 0], [0, 130], [130, 0]] as const).flatMap(([lengthQ, lengthK]) =>
    ([undefined, true] as const).map((causal) =>
      defineCase({ batch: 2, queryHeads: 2, kvHeads: 1, lengthQ, lengthK, causal })
    )
  ).concat(
    defineCase({ batch: 0, lengthQ: 5, lengthK: 5 }),
    defineCase({ lengthQ: 5, lengthK: 0, valueDim: 7, bias: "bhqk", mask: undefined }),
  ),
};

const headDimSection: Section = {
  title: "head dims",
  cases: headDims.flatMap((headDim, n) => [
    defineCase({ queryHeads: 2, kvHeads: 1 + n % 2, lengthQ: 19, lengthK: 67, headDim }),
    defineCase({ lengthQ: 70, lengthK: 45 + n, headDim, causal: true, layout: "bhsd" }),
  ]),
};

const valueDimSection: Section = {
  title: "value dims other than the head dim",
  cases: valueDims.flatMap(([headDim, valueDim]) => [
    defineCase({ lengthQ: 33, lengthK: 70, headDim, valueDim }),
    defineCase({
      ...{ batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 21, lengthK: 40 },
      ...{ headDim, valueDim, causal: true, layout: "bhsd", dLse: true },
    }),
  ]),
};

const lengthSection: Section = {
  title: "lengths",
  cases: lengths.flatMap(([lengthQ, lengthK], n) => {
    const large = lengthQ * lengthK > 1e5;
    const headDim = large ? [32, 24, 40][n % 3]! : [64, 2, 32, 80][n % 4]!;
    const both = { lengthQ, lengthK, headDim };
    // Alternately causal where a case is expensive, both ways where it is not.
    if (large) return [defineCase({ ...both, causal: n % 2 ? true : undefined })];
    const short = lengthQ * lengthK < 2000;
    return [
      inTurn(short || n % 2 === 0, defineCase(both)),
      inTurn(
        short || n % 2 === 1,
        defineCase({ ...both, causal: true, queryHeads: 2, kvHeads: 1 }),
      ),
    ];
  }),
};

const headSection: Section = {
  title: "batches and head groups",
  cases: heads.flatMap(([batch, queryHeads, kvHeads], n) => [
    defineCase({ batch, queryHeads, kvHeads, lengthQ: 37, lengthK: 53, headDim: 24 }),
    defineCase({
      ...{ batch, queryHeads, kvHeads, lengthQ: 70, lengthK: 66, headDim: 8 },
      ...{ causal: true, layout: "bhsd", dLse: n % 2 === 0 },
    }),
  ]),
};

const storageSection: Section = {
  title: "strides and storage formats",
  cases: (["packed", "padded rows", "transposed", "view"] as const).flatMap((arrangement) =>
    (["bshd", "bhsd"] as const).flatMap((layout) =>
      ([["f32", "bits"], ["f16", "bits"], ["f16", "Float16Array"], ["bf16", "bits"]] as const)
        .map(([dtype, storage], n) =>
          defineCase({
            ...{ batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 35, lengthK: 70, headDim: 20 },
            ...{ arrangement, layout, dtype, storage, valueDim: [20, 12, 33, 20][n]! },
            causal: n % 2 ? true : undefined,
          })
        )
    )
  ).concat(
    // rows that lie apart over several tiles of keys, whole and in the pieces that a mask leaves
    ...[{}, { causal: true }, { mask: { axes: "qk", pattern: "blocks" } }, { window: { left: 90 } }]
      .map((options) =>
        defineCase({
          ...{ queryHeads: 4, kvHeads: 2, lengthQ: 70, lengthK: 450, headDim: 72, valueDim: 33 },
          ...options as Partial<Case>,
        })
      ),
  ),
};

/** [lengthQ, lengthK]. */
const decodeLengths = [
  ...[[1, 128], [1, 147], [1, 339], [1, 1000], [1, 3000], [2, 257], [3, 799], [3, 1024]],
  ...[[5, 640], [8, 515], [1, 1], [8, 8]],
] as [lengthQ: number, lengthK: number][];

/** Few query rows against many keys: the shapes of decoding. */
export const decodeSection: Section = {
  title: "decode",
  cases: decodeLengths.flatMap(([lengthQ, lengthK], n) => [
    defineCase({ ...grouped(n), lengthQ, lengthK, headDim: [64, 128, 40][n % 3]!, causal: true }),
    defineCase({ ...grouped(n + 1), lengthQ, lengthK, headDim: 32, valueDim: 20, layout: "bhsd" }),
  ]).concat(
    defineCase({ ...grouped(2), batch: 3, lengthQ: 1, lengthK: 300, keyLengths: [0, 1, 300] }),
    defineCase({ ...fewRows, lengthK: 700, window: { left: 255 } }),
    defineCase({ ...fewRows, lengthK: 600, window: { left: 100 }, causal: true }),
    defineCase({ ...fewRows, batch: 3, lengthK: 300, keyLengths: [0, 1, 300] }),
    defineCase({ ...grouped(3), lengthQ: 2, lengthK: 513, softcap: 20, bias: "bh1k" }),
    defineCase({
      ...grouped(2),
      lengthQ: 1,
      lengthK: 513,
      mask: { axes: "b11k", pattern: "random" },
    }),
    defineCase({ ...grouped(3), lengthQ: 1, lengthK: 777, headDim: 128, dtype: "f16" }),
    defineCase({ ...grouped(2), lengthQ: 1, lengthK: 777, headDim: 64, dtype: "bf16" }),
    defineCase({ ...grouped(3), lengthQ: 1, lengthK: 400, amplitude: 5, arrangement: "view" }),
    defineCase({
      ...{ ...grouped(2), batch: 2, lengthQ: 3, lengthK: 400, keyLengths: [257, 64] },
      ...{ causal: true, arrangement: "transposed" },
    }),
  ),
};

function grouped(n: number): Partial<Case> {
  const [queryHeads, kvHeads] = ([[1, 1], [2, 1], [6, 2], [8, 1]] as const)[n % 4]!;
  return { queryHeads, kvHeads };
}

/** The sections about sizes and storage. */
export const sizeSections: readonly Section[] = [
  zeroLengths,
  headDimSection,
  valueDimSection,
  lengthSection,
  headSection,
  storageSection,
  decodeSection,
];

/** The grid for calls that compute what others do in the same kernels: pairs of options come in sets alone. */
export const gridOfSets: readonly Section[] = [...sizeSections, ...featureSections];

/** The whole grid. */
export const grid: readonly Section[] = [...gridOfSets, pairSection];

/** The cheap part of the grid, for the many ways to call that share the kernels; the core has it all. */
export function smallCases(sections: readonly Section[]): Section[] {
  return sections.map((section) => ({
    ...section,
    cases: section.cases.filter(isSmall).map(outOfTurn),
  })).filter(({ cases }) => cases.length > 0);
}

/** All names, for the check that they are unique: a name is a seed and a filter. */
export function gridNames(): string[] {
  return grid.flatMap(({ cases }) => cases.map(caseName));
}
