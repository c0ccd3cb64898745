import { checkHeads } from "./heads.ts";
import { checkDiagonal } from "./diagonal.ts";
import type { Feature } from "./feature.ts";

/** ALiBi: every head subtracts its slope times the distance from the diagonal. */
export const alibiSlopes: Feature<true> = {
  name: "alibiSlopes",
  stage: "score",
  source: "Press et al. 2022 (ALiBi), FlashAttention-2 alibi_slopes",
  elsewhere: ["alibi_slopes"],
  operands: ["alibiSlopes"],
  perScore: true,
  parse({ alibiSlopes }, dims, complaint) {
    if (alibiSlopes === undefined) return undefined;
    checkHeads("alibiSlopes", alibiSlopes, dims, true, complaint);
    return true;
  },
  check: (_, spans, _dims, complaint) => checkDiagonal(spans, complaint),
  exact: (_, { values, place: { batch, head, offset } }) => {
    const slope = values("alibiSlopes")(batch, head, 0, 0);
    return { score: (s, { query, key }) => s - slope * Math.abs(query + offset - key) };
  },
};
