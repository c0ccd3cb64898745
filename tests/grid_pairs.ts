/** Options beside each other: every pair by itself, and sets of options in which every pair occurs. */

import { type Case, defineCase } from "./case.ts";
import type { Section } from "./grid.ts";
import { inParts, statistics } from "./selection.ts";

/** One form of each option, for the pairs. Two that set the same field make no pair, nor do both kinds of conditions. */
const features: readonly Partial<Case>[] = [
  { rotary: { dims: 8 } },
  { rotary: { interleaved: true, positions: "each" } },
  { causal: true },
  { causal: "top-left" },
  { causal: { offset: [7, -4] } },
  { window: { left: 20, right: 9 } },
  { mask: { axes: "b1qk", pattern: "random" } },
  { mask: { axes: "qk", pattern: "blocks" } },
  { bias: "1hqk" },
  { bias: "b11k", biasHoles: true },
  { alibiSlopes: "bh" },
  { sink: true },
  { dropout: 0.3 },
  { scoreMod: "bent", maskMod: "documents" }, // together: on a GPU each pair is texts to compile
  { blockMask: { made: "lists", size: [16, 32], mask: "prefix" } },
  { keyLengths: [33, 61] },
  { softcap: 5 },
  { softmaxScale: 0.3 },
  { amplitude: 5 },
  { dtype: "f16" },
  { dtype: "bf16" },
  { arrangement: "padded rows", layout: "bhsd" },
  { arrangement: "transposed" },
  { dLse: true },
  statistics,
  { valueDim: 9 },
];

/** Whether two can be in one case. */
function agree(first: Partial<Case>, second: Partial<Case>): boolean {
  return !Object.keys(first).some((key) => key in second) &&
    !(first.maskMod && second.blockMask) && !(first.blockMask && second.maskMod);
}

function caseOf(options: readonly Partial<Case>[], large: boolean): Case {
  return defineCase({
    ...{ batch: 2, queryHeads: 4, kvHeads: 2 },
    // one tile with a tail, or several tiles
    ...(large ? { lengthQ: 70, lengthK: 134 } : { lengthQ: 29, lengthK: 61 }),
    ...Object.assign({ headDim: 12 }, ...options),
  });
}

/** Each pair by itself: what fails says which two. A GPU would compile 440 kernels for them. */
export const pairSection: Section = {
  title: "pairs of options",
  cases: features.flatMap((first, n) =>
    features.slice(n + 1).filter((second) => agree(first, second))
      .map((second, m) => {
        return inParts(
          { wasm: "rest", webgpu: "all" },
          caseOf([first, second], (n + m) % 2 === 0),
        );
      })
  ),
};

/**
 * Sets of options in which every pair that agrees occurs, of `most` options at most: as few sets as going for the most new
 * pairs at each step finds.
 */
function coveringSets(most: number): (readonly Partial<Case>[])[] {
  const pair = (a: number, b: number) => `${Math.min(a, b)} ${Math.max(a, b)}`;
  const all = features.map((_, n) => n), open = new Set<string>();
  for (const a of all) {
    for (const b of all) if (a < b && agree(features[a]!, features[b]!)) open.add(pair(a, b));
  }
  const sets: (readonly Partial<Case>[])[] = [];
  while (open.size > 0) {
    const set = [...open][0]!.split(" ").map(Number);
    while (set.length < most) {
      const fresh = (n: number) => set.filter((other) => open.has(pair(n, other))).length;
      const next = all.filter((n) => set.every((other) => agree(features[n]!, features[other]!)))
        .toSorted((a, b) => fresh(b) - fresh(a))[0];
      if (next === undefined) break;
      set.push(next);
    }
    for (const a of set) for (const b of set) open.delete(pair(a, b));
    sets.push(set.map((n) => features[n]!));
  }
  return sets;
}

/**
 * What the core has of pairs on the CPU: a few dozen cases. With more options few scores of a row are seen at all. A GPU
 * compiles 240 kernels for them: the rest has every third there.
 */
export const coveringSection: Section = {
  title: "sets of options with every pair",
  cases: coveringSets(6).map((set, n) =>
    inParts({ wasm: "core", webgpu: n % 3 === 0 ? "rest" : "all" }, caseOf(set, n % 2 === 0))
  ),
};
