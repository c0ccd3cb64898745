// A language model, trained in the page.
import type { Panel } from "../panel.ts";

/** A language model, trained in the page. */
export const training: Panel = {
  id: "training",
  title: "Train a model",
  intro:
    "A language model learns from a text of yours, byte by byte, with flashtile’s forward and backward pass. It does so in a worker: the page stays free, and the text stays here.",
  async mount(element, page) {
    const { mountTraining } = await import("./training/view.ts");
    mountTraining(element, page);
  },
};
