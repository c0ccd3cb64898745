// The registry of features, in the order in which they apply. Packed sequences and those of a cache come before key
// lengths, which are those in use of a sequence's room; these before causal and window because they move the diagonal; causal before
// window because the window follows it.
import type { Complaint } from "../../tensor/errors.ts";
import type { AxisSizes } from "../../tensor/operands.ts";
import type { CallOptions } from "../call_options.ts";
import { alibiSlopes } from "./alibi_slopes.ts";
import { bias } from "./bias.ts";
import { blockMask } from "./block_mask.ts";
import { causal } from "./causal.ts";
import { dropout } from "./dropout.ts";
import { cuSeqlensK } from "./cu_seqlens_k.ts";
import { cuSeqlensQ } from "./cu_seqlens_q.ts";
import type { Feature, FeatureName, FeatureUse, SequenceSpan } from "./feature.ts";
import { UNBOUNDED } from "./feature.ts";
import { keyLengths } from "./key_lengths.ts";
import { mask } from "./mask.ts";
import { maskMod } from "./mask_mod.ts";
import { scoreMod } from "./score_mod.ts";
import { sink } from "./sink.ts";
import { sequences } from "./sequences.ts";
import { softcap } from "./softcap.ts";
import { window } from "./window.ts";

/** Every feature. */
export const FEATURES: readonly Feature[] = [
  softcap,
  alibiSlopes,
  bias,
  scoreMod,
  mask,
  maskMod,
  blockMask,
  cuSeqlensQ,
  cuSeqlensK,
  sequences,
  keyLengths,
  causal,
  window,
  sink,
  dropout,
] as Feature[];

const BY_NAME: ReadonlyMap<FeatureName, Feature> = new Map(FEATURES.map((f) => [f.name, f]));

/** The record of a feature. */
export function feature(name: FeatureName): Feature {
  return BY_NAME.get(name)!;
}

/** The features that `options` turn on, checked. */
export function parseFeatures(
  options: CallOptions,
  dims: AxisSizes,
  complaint: Complaint,
): FeatureUse[] {
  const uses: FeatureUse[] = [];
  for (const { name, runsAs = name, parse } of FEATURES) {
    const params = parse(options, dims, complaint);
    if (params !== undefined) uses.push({ name: runsAs, params });
  }
  return uses;
}

/** The numbers that a feature brings, by name: float32, and words of 32 bits. */
export function numbersOf(
  { name, params }: FeatureUse,
): { readonly scalars: Record<string, number>; readonly words: Record<string, number> } {
  const { scalars = {}, words = {} } = feature(name);
  const values = (numbers: Readonly<Record<string, (params: unknown) => number>>) =>
    Object.fromEntries(Object.entries(numbers).map(([key, value]) => [key, value(params)]));
  return { scalars: values(scalars), words: values(words) };
}

/** What each sequence of the batch may see once every feature has had its say. */
export function sequenceSpans(uses: readonly FeatureUse[], dims: AxisSizes): SequenceSpan[] {
  const clamp = (n: number) => Math.max(-UNBOUNDED, Math.min(UNBOUNDED, n));
  return Array.from({ length: dims.batch }, (_, index) => {
    let span: SequenceSpan = {
      lengthQ: dims.lengthQ,
      lengthK: dims.lengthK,
      offset: dims.lengthK - dims.lengthQ,
      low: -UNBOUNDED,
      high: UNBOUNDED,
    };
    for (const { name, params } of uses) {
      span = feature(name).span?.(params, span, index) ?? span;
    }
    return { ...span, low: clamp(span.low), high: clamp(span.high) };
  });
}
