// The named masks.
import { arrayKind } from "../tensor/dtype.ts";
import { Complaint, show } from "../tensor/errors.ts";
import { captured } from "./captured.ts";
import { type MaskMod, maskMod } from "./score_mod.ts";

/** Masks by name. They compose: `masks.causal().and(masks.documents(ids))`. d is the diagonal of query i. */
export interface Masks {
  /** Key j ≤ d. */
  causal(): MaskMod;
  /** d − left ≤ j ≤ d + right; `Infinity` leaves a side open. Longformer, Mistral. */
  window(left: number, right: number): MaskMod;
  /** j < n: a prefix that all queries see. Join it to `causal` with `or` for a prefix LM. */
  prefix(n: number): MaskMod;
  /**
   * Query and key have the same document: `ids[i] = ids[j]` for a sequence that attends to itself, or the ids of
   * queries and of keys apart. The arrays must be at least as long as the sequences of the call.
   */
  documents(ids: Int32Array, keyIds?: Int32Array): MaskMod;
  /** |d − j| ≤ width · dilation, and a multiple of dilation. Longformer. */
  dilated(width: number, dilation: number): MaskMod;
  /** d − j is a multiple of n. Sparse Transformer. */
  strided(n: number): MaskMod;
  /** j < n or i < n: the first n tokens see all and are seen by all. BigBird, Longformer. */
  globalTokens(n: number): MaskMod;
}

const MOST = 2 ** 31 - 1;

/** Throws unless `value` is an integer from `least` on that 32 bits hold. */
function checkCount(mask: string, name: string, value: unknown, least: number): void {
  const complaint = new Complaint(`masks.${mask}`);
  if (typeof value !== "number") {
    throw complaint.type(`${name} is ${show(value)} but must be a number`);
  }
  if (Number.isInteger(value) && value >= least && value <= MOST) return;
  throw complaint.range(`${name} is ${value} but must be an integer from ${least} to ${MOST}`);
}

function checkIds(name: string, ids: unknown): void {
  if (arrayKind(ids) === "Int32Array") return;
  const complaint = new Complaint("masks.documents");
  throw complaint.type(`${name} is ${show(ids)} but must be an Int32Array`);
}

/**
 * The named masks; each has the meaning that its method of `Masks` says.
 *
 * @example Documents that attend to themselves, causally
 * ```ts
 * import { attention, masks } from "@flashtile/attention";
 *
 * const ids = Int32Array.from({ length: 64 }, (_, n) => n < 40 ? 0 : 1);
 * const x = { data: new Float32Array(64 * 32).fill(0.1), shape: [1, 64, 1, 32] };
 * const { out } = await attention(x, x, x, { maskMod: masks.documents(ids).and(masks.causal()) });
 * console.log(out.shape);
 * ```
 */
export const masks: Masks = {
  causal: () => maskMod(({ diagonal, key }) => key.le(diagonal)),

  window(left, right) {
    for (const [name, value] of Object.entries({ left, right })) {
      if (value !== Infinity) checkCount("window", name, value, 0);
    }
    return maskMod(({ diagonal, key }) => {
      const distance = key.sub(diagonal); // a sum with `left` could leave 32 bits
      const after = left === Infinity || distance.ge(-left);
      const before = right === Infinity || distance.le(right);
      return typeof before === "boolean" ? after : before.and(after);
    });
  },

  prefix(n) {
    checkCount("prefix", "n", n, 0);
    return maskMod(({ key }) => key.lt(n));
  },

  documents(ids, keyIds = ids) {
    checkIds("ids", ids);
    checkIds("keyIds", keyIds);
    const ofQueries = captured(ids, [ids.length]);
    const ofKeys = keyIds === ids ? ofQueries : captured(keyIds, [keyIds.length]);
    return maskMod(({ query, key }) => ofQueries.at(query).eq(ofKeys.at(key)));
  },

  dilated(width, dilation) {
    checkCount("dilated", "width", width, 0);
    checkCount("dilated", "dilation", dilation, 1);
    checkCount("dilated", "width · dilation", width * dilation, 0);
    return maskMod(({ diagonal, key }) => {
      const distance = diagonal.sub(key);
      return distance.abs().le(width * dilation).and(distance.mod(dilation).eq(0));
    });
  },

  strided(n) {
    checkCount("strided", "n", n, 1);
    return maskMod(({ diagonal, key }) => diagonal.sub(key).mod(n).eq(0));
  },

  globalTokens(n) {
    checkCount("globalTokens", "n", n, 0);
    return maskMod(({ query, key }) => key.lt(n).or(query.lt(n)));
  },
};
