// Tiles that features hide as a whole: kernels go from one that may be seen to the next, and look at pairs only where
// verdicts do not say which are seen.
import { shaderName } from "../../src/tensor/operands.ts";
import type { Geometry } from "../abi.ts";
import { each } from "../parts/text.ts";
import type { Variant } from "../parts/variant.ts";
import {
  declareSearch,
  isMixed,
  moveBackToSeen,
  moveToSeen,
  readVerdicts,
  type TileVerdicts,
  unlessNone,
  VOTE,
} from "../parts/vote.ts";
import type { ShaderFeature, Side } from "./feature.ts";
import { pairsAt } from "./score.ts";
import { activeFeatures } from "./table.ts";

/** The features that have verdicts about tiles. */
const judges = (v: Pick<Variant, "features">) => activeFeatures(v).filter(({ sees }) => sees);

const skipsTiles = (v: Pick<Variant, "features">) => judges(v).length > 0;

/** Whether a mixed tile may have to be looked at to know that no pair of it is seen. */
const votes = (v: Pick<Variant, "features">) =>
  activeFeatures(v).some(({ verdicts }) => verdicts?.differs);

const verdictsOf = ({ name, verdicts }: ShaderFeature): TileVerdicts => ({
  name: `verdict_${shaderName(name)}`,
  at: verdicts!.at,
});

/** Which pairs (row i, column vector n) of the tile are seen; `exists`: those that are there at all. */
function seenOfTile(v: Variant, side: Side, i: number, n: number, exists: string): string {
  const seen = `seen${i}_${n}`;
  const conditions = judges(v).map((feature) =>
    `  if (${isMixed(verdictsOf(feature))}) { ${seen} = ${seen} & ${
      feature.sees!(pairsAt(feature, side, i, n))
    }; }`
  );
  return [`  var ${seen} = ${exists};`, ...conditions].join("\n");
}

/** What kernels need outside of `main` that go from one tile that may be seen to the next. */
export function seenTileDeclarations(v: Variant, side: Side): string {
  const search = skipsTiles(v)
    ? declareSearch(judges(v).map(verdictsOf), side === "rows are keys")
    : "";
  return votes(v) ? `${VOTE}\n${search}` : search;
}

/** At the begin of a loop over tiles, where `at` begins one: moves on to one that may be seen. */
export function nextSeenTile(v: Variant, at: string, { columns }: Geometry): string {
  return skipsTiles(v) ? moveToSeen(at, columns) : "";
}

/** The same where the last of `left` tiles is next. */
export function lastSeenTile(v: Variant, left: string): string {
  return skipsTiles(v) ? moveBackToSeen(left) : "";
}

/** Runs `body` where some pair of tile number `tile` of the item, which may be seen, is. */
export function skipUnseenTiles(
  g: Geometry,
  v: Variant,
  side: Side,
  exists: (i: number, n: number) => string,
  tile: string,
  body: string,
): string {
  if (!skipsTiles(v)) return body;
  const seen = each(g.tm, (i) => each(g.jv, (n) => seenOfTile(v, side, i, n, exists(i, n))));
  const any = (_: unknown, n: number) => `any(seen${Math.floor(n / g.jv)}_${n % g.jv})`;
  const names = Array.from({ length: g.tm * g.jv }, any);
  const unsure = judges(v).flatMap((feature) => {
    const { differs } = feature.verdicts!;
    return differs ? [`(${isMixed(verdictsOf(feature))} && ${differs})`] : [];
  });
  const run = votes(v) ? unlessNone(unsure.join(" || "), names.join(" || "), body) : body;
  return `${readVerdicts(tile, judges(v).map(verdictsOf))}\n${seen}\n${run}`;
}
