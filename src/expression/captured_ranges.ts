// Proof that every index of a captured array lies in its range.
import { type Complaint, show } from "../tensor/errors.ts";
import type { HeldIntegers } from "./held.ts";
import { type Domain, type ExtremesOf, rangesOf } from "./intervals.ts";
import { Extremes } from "./intervals/extremes.ts";
import type { Range } from "./intervals/state.ts";
import { type Node, reachable } from "./node.ts";

/** An index that could lie outside. */
interface Stray {
  readonly shape: readonly number[];
  readonly axis: number;
  readonly found: Range;
}

/** The first index that could lie outside, over all queries and keys of a domain. */
function strayOf(roots: readonly Node[], domain: Domain, known: ExtremesOf): Stray | undefined {
  const lengthQ = domain.lengthQ[1], lengthK = domain.lengthK[1];
  if (lengthQ === 0 || lengthK === 0) return undefined; // no pair reads anything
  const gathers = reachable(roots).filter(({ op }) => op === "gather");
  const ranges = rangesOf(gathers.flatMap(({ operands }) => operands), domain, known);
  ranges.look(0, lengthQ, 0, lengthK);
  let n = 0;
  for (const { captured } of gathers) {
    const { shape } = captured!;
    for (let axis = 0; axis < shape.length; axis++) {
      const low = ranges.low[n]!, high = ranges.high[n++]!;
      if (!(low >= 0 && high < shape[axis]!)) return { shape, axis, found: [low, high] };
    }
  }
  return undefined;
}

/** All of `domains` in one. */
function hullOf(domains: readonly Domain[]): Domain {
  return domains.reduce((a, b) => {
    const names = Object.keys(a) as (keyof Domain)[];
    const hull = names.map((name) => [
      name,
      [Math.min(a[name][0], b[name][0]), Math.max(a[name][1], b[name][1])],
    ]);
    return Object.fromEntries(hull) as Domain;
  });
}

/**
 * Throws where an index of a captured array that `roots` read could lie outside of it. `domains`: one for all heads of
 * a sequence, as a rule; they are looked at one by one only where all at once do not prove it. `held`: what the call will
 * read of the integers that indices are made of.
 */
export function checkCapturedRanges(
  roots: readonly Node[],
  domains: readonly Domain[],
  held: HeldIntegers,
  complaint: Complaint,
): void {
  const used = domains.filter(({ lengthQ, lengthK }) => lengthQ[1] > 0 && lengthK[1] > 0);
  const known: ExtremesOf = new Map();
  for (const [array, data] of held) if (data.length > 0) known.set(array, new Extremes(data));
  if (used.length === 0 || !strayOf(roots, hullOf(used), known)) return;
  for (const domain of used) {
    const stray = strayOf(roots, domain, known);
    if (!stray) continue;
    const { shape, axis, found: [low, high] } = stray, last = shape[axis]! - 1;
    throw complaint.range(
      `the index of axis ${axis} of a captured array of shape ${show(shape)} can be ${low} to ` +
        `${high}, wanted 0 to ${last}: hold it there with max(0).min(${last})`,
    );
  }
}
