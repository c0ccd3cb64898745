// How the keys of a call are split over parts.

/** Which keys go together: neighbours; first and last ones, whose causal work adds up to the same; or heads in place of keys. */
export type Split = "contiguous" | "zigzag" | "heads";

/** Keys, or kv heads, from one to before another. */
export interface Run {
  readonly from: number;
  readonly to: number;
}

/** Runs as even as they can be, in order; none is empty. */
function evenRuns(length: number, count: number): Run[] {
  const border = (n: number) => Math.floor(n * length / count);
  return Array.from({ length: count }, (_, n) => ({ from: border(n), to: border(n + 1) }));
}

/**
 * The runs of each part. Zigzag: twice as many runs as parts, and part p has run p and, counted from the end, run p: a causal
 * query sees the first of these mostly and the second rarely (Striped and ring attention's balanced order). Parts without
 * any are left out, but for one.
 */
export function splitRuns(length: number, parts: number, split: Split): Run[][] {
  const runs = evenRuns(length, split === "zigzag" ? 2 * parts : parts);
  const dealt = Array.from(
    { length: parts },
    (_, p) =>
      (split === "zigzag" ? [runs[p]!, runs[2 * parts - 1 - p]!] : [runs[p]!])
        .filter(({ from, to }) => to > from),
  );
  const some = dealt.filter((list) => list.length > 0);
  return some.length > 0 ? some : [[{ from: 0, to: length }]];
}
