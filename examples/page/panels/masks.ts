// Masks, put together and measured.
import type { Panel } from "../panel.ts";

/** Masks, put together and measured. */
export const masks: Panel = {
  id: "masks",
  title: "Masks",
  intro:
    "Put a mask together and see which tiles it leaves out: those are never computed. What is left is measured beside attention without a mask.",
  async mount(element, page) {
    const { mountMasks } = await import("./masks/view.ts");
    mountMasks(element, page);
  },
};
