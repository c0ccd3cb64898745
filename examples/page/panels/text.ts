// What learned heads attend to in a text.
import type { Panel } from "../panel.ts";

/** What learned heads attend to in a text. */
export const text: Panel = {
  id: "text",
  title: "Attention in a text",
  intro:
    "A small language model reads your text byte by byte. Point at a character to see which ones each of its heads looks at.",
  async mount(element, page) {
    const { mountText } = await import("./text/view.ts");
    await mountText(element, page);
  },
};
