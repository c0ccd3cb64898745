// What the model writes, after what.
import { button, controlRow } from "../../parts/controls.ts";
import { element, fill, uniqueId } from "../../parts/elements.ts";

/** The box in the page. */
export interface SampleBox {
  readonly element: HTMLElement;
  /** What the model goes on after; empty: a line that it has not seen. */
  readonly prompt: () => string;
  readonly show: (prompt: string, text: string) => void;
  /** Whether there is a model that can write. */
  readonly enable: (there: boolean) => void;
}

/** A box whose button asks for a text. */
export function sampleBox(onWrite: () => void): SampleBox {
  const input = element("input", { type: "text", id: uniqueId("field"), dir: "auto" });
  const write = button("Write", onWrite);
  const text = element("p", { class: "output-text" });
  const field = element(
    "div",
    { class: "field" },
    element("label", { for: input.id }, "It goes on after (empty: a line it has not seen)"),
    input,
  );
  const heading = element("h3", {}, "What it writes");
  return {
    element: element("div", { class: "sample-side" }, heading, controlRow(field, write), text),
    prompt: () => input.value,
    show: (prompt, written) => fill(text, element("strong", {}, prompt), written),
    enable(there) {
      write.disabled = !there;
    },
  };
}
