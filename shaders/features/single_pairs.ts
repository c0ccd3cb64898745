// What features do to single pairs, for the kernel that makes rows by the definition: features that may be there are
// asked for, so that there are few texts.
import type { Variant } from "../parts/variant.ts";
import type { ShaderFeature } from "./feature.ts";
import { pairAt } from "./score.ts";
import { activeFeatures } from "./table.ts";

/**
 * For the repair kernel: from the product in `sum` to `pair.score` and `pair.slope`, returning early from hidden pairs.
 * Features that may be there are asked for; NaN stays NaN whatever they do.
 */
export function repairScore(v: Variant): string {
  const query = { batch: "batch", head: "head", query: "query", offset: "offset" };
  const asked = ({ present }: ShaderFeature, lines: readonly (string | undefined)[]) => {
    const made = lines.filter((line) => line !== undefined), margin = present ? "    " : "  ";
    const text = made.map((line) => margin + line).join("\n");
    return text && present ? `  if (${present}) {\n${text}\n  }` : text;
  };
  const active = activeFeatures(v);
  const factors = active.filter(({ load }) => load)
    .map((f) => asked(f, [`factor = ${f.load!.factor("factor")};`]));
  const steps = active.map((feature) => {
    const at = pairAt(feature, query, "key"), { read, score, slope, hide, sees } = feature;
    return asked(feature, [
      sees && `if (!${sees(at)}) { return pair; }`,
      read?.(at),
      hide && `if (${hide(at)}) { return pair; }`,
      slope && `pair.slope *= ${slope("s", at)};`,
      score && `if (!is_nan(s)) { ${score("s", at)} }`,
    ]);
  });
  return ["  var factor = U.scale;", ...factors, "  var s = sum * factor;", ...steps]
    .concat("  pair.score = s;").join("\n");
}

/** Whether features let a query see a key, without a look at the score: a condition for each that can say so. */
export function seesKey(v: Variant): string[] {
  const query = { batch: "batch", head: "head", query: "query", offset: "offset" };
  return activeFeatures(v).flatMap((feature) => {
    const sees = feature.sees?.(pairAt(feature, query, "key"));
    return sees === undefined
      ? []
      : [feature.present ? `(!(${feature.present}) || ${sees})` : sees];
  });
}
