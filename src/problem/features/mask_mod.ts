import { type Traced, tracedOf } from "../../expression/traced.ts";
import { show } from "../../tensor/errors.ts";
import { checkCaptured, withinRectangle } from "./captured.ts";
import type { Feature } from "./feature.ts";

/** Mask function: any condition of the pair's numbers and captured arrays. */
export const maskMod: Feature<Traced> = {
  name: "maskMod",
  stage: "hide",
  source: "PyTorch FlexAttention mask_mod",
  elsewhere: ["mask_mod", "maskMods"],
  perScore: true,
  traced: (traced) => traced,
  within: withinRectangle,
  parse({ maskMod }, _dims, complaint) {
    if (maskMod === undefined) return undefined;
    const traced = tracedOf(maskMod, "maskMod");
    if (traced) return traced;
    throw complaint.type(
      `maskMod is ${show(maskMod)} but must be what maskMod() returns, or one of masks`,
    );
  },
  settle: checkCaptured,
};
