// flashtile against standard attention, over lengths.
import type { Panel } from "../panel.ts";

/** flashtile against standard attention, over lengths. */
export const race: Panel = {
  id: "race",
  title: "Against the matrix",
  intro: "flashtile and standard attention compute the same thing at growing lengths, in turns. " +
    "Standard attention writes a matrix of all scores, and stops where it no longer fits.",
  async mount(element, page) {
    const { raceView } = await import("./race/view.ts");
    raceView(element, page);
  },
};
