// The features that shaders know, in the order of the feature table: what the other features do is in the band.
import type { FeatureName } from "../../src/problem/features/feature.ts";
import { feature, FEATURES } from "../../src/problem/features/table.ts";
import type { FeatureText, Variant } from "../parts/variant.ts";
import { alibiSlopes } from "./alibi_slopes.ts";
import { bias } from "./bias.ts";
import { dropout } from "./dropout.ts";
import type { ShaderFeature } from "./feature.ts";
import { mask } from "./mask.ts";
import { maskMod } from "./mask_mod.ts";
import { scoreMod } from "./score_mod.ts";
import { sink } from "./sink.ts";
import { softcap } from "./softcap.ts";

const RECORDS: readonly ShaderFeature[] = [
  ...[softcap, alibiSlopes, bias, scoreMod, mask, maskMod, sink, dropout],
];

/** Every record, in order. */
export const SHADER_FEATURES: readonly ShaderFeature[] = FEATURES.flatMap(({ name }) =>
  RECORDS.filter((record) => record.name === name)
);

/** The features of a variant. */
export function activeFeatures({ features }: Pick<Variant, "features">): readonly ShaderFeature[] {
  return SHADER_FEATURES.filter(({ name }) => features.has(name)).map((record) => {
    const text = features.get(record.name)!;
    return typeof text === "string" ? record : record.of!(text);
  });
}

/** Those of `features` that act on pairs: the backward kernels need no others, since lse has what acts on rows. */
export function pairFeatures(features: Variant["features"]): Variant["features"] {
  return new Map([...features].filter(([name]) => feature(name).stage !== "state"));
}

/** Those of `features` that act on rows. */
export function rowFeatures(features: Variant["features"]): Variant["features"] {
  return new Map([...features].filter(([name]) => feature(name).stage === "state"));
}

/** Those of `features` that act on scores and their sums: what comes after the softmax is left out. */
export function stateFeatures(features: Variant["features"]): Variant["features"] {
  return new Map([...features].filter(([name]) => feature(name).stage !== "probability"));
}

/**
 * What the repair kernel is made for: the features that it cannot ask for, and all that it can. `rows`: also those
 * that act on rows.
 */
export function repairFeatures(
  features: Variant["features"],
  rows: boolean,
): Variant["features"] {
  const made = SHADER_FEATURES.filter(({ name, present }) => present || features.has(name))
    .map(({ name, present }) => [name, present ? "" : features.get(name)!] as const);
  const all = new Map<FeatureName, FeatureText>(made);
  return rows ? all : pairFeatures(all);
}
