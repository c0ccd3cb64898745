import { show } from "../../tensor/errors.ts";
import type { Window } from "../call_options.ts";
import type { Feature } from "./feature.ts";

/** Window: keys at most `left` before and `right` after the diagonal. */
export const window: Feature<Window> = {
  name: "window",
  stage: "hide",
  source: "FlashAttention-2 window_size, Longformer, Mistral",
  elsewhere: ["windowSize", "window_size", "localWindowSize"],
  perScore: false,
  parse({ window }, _dims, complaint) {
    if (window === undefined) return undefined;
    if (typeof window !== "object" || window === null) {
      throw complaint.type(`window is ${show(window)} but must be { left?, right? }`);
    }
    const unknown = Object.keys(window).find((key) => key !== "left" && key !== "right");
    if (unknown !== undefined) {
      throw complaint.type(`window has the unknown key ${show(unknown)}, wanted left or right`);
    }
    const { left, right } = window;
    for (const [side, n] of [["left", left], ["right", right]] as const) {
      if (n === undefined || n === Infinity) continue;
      if (typeof n !== "number") {
        throw complaint.type(`window.${side} is ${show(n)} but must be a number`);
      }
      if (!(Number.isSafeInteger(n) && n >= 0)) {
        throw complaint.range(`window.${side} is ${n} but must be an integer >= 0`);
      }
    }
    return left === undefined && right === undefined ? undefined : { left, right };
  },
  span: ({ left = Infinity, right = Infinity }, span) => ({
    ...span,
    low: Math.max(span.low, span.offset - left),
    high: Math.min(span.high, span.offset + right),
  }),
};
