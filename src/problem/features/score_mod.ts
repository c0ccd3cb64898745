import { type Traced, tracedOf } from "../../expression/traced.ts";
import { show } from "../../tensor/errors.ts";
import { checkCaptured, withinRectangle } from "./captured.ts";
import type { Feature } from "./feature.ts";

/** Score function: any function of the score, the pair's numbers and captured arrays. */
export const scoreMod: Feature<Traced> = {
  name: "scoreMod",
  stage: "score",
  source: "PyTorch FlexAttention score_mod",
  elsewhere: ["score_mod", "scoreMods"],
  perScore: true,
  traced: (traced) => traced,
  learns: true,
  within: withinRectangle,
  slope: true,
  parse({ scoreMod }, _dims, complaint) {
    if (scoreMod === undefined) return undefined;
    const traced = tracedOf(scoreMod, "scoreMod");
    if (traced) return traced;
    throw complaint.type(`scoreMod is ${show(scoreMod)} but must be what scoreMod() returns`);
  },
  settle: checkCaptured,
};
