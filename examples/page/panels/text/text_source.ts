// The text that is read: one to begin with, or what a person types or pastes.
import { select, textArea } from "../../parts/controls.ts";
import { fetchText } from "./model_choice.ts";
import { SAMPLES } from "./samples.ts";

/** Pause after a key before the text is read. */
const PAUSE_MS = 250;

/** The fields of the text. */
export interface TextSource {
  readonly sample: HTMLElement;
  readonly text: HTMLElement;
  readonly value: () => string;
  /** Puts the chosen text to begin with into the field. Rejects where it cannot be loaded. */
  readonly takeSample: () => Promise<void>;
}

/** Fields of a text; `onText` is called when it has changed, `onSample` when another one to begin with is chosen. */
export function textSource(onText: () => void, onSample: () => void): TextSource {
  const { field: text, input } = textArea("Text", "", { rows: 3 });
  const choice = select("Start from", SAMPLES.map(({ label }, value) => ({ value, label })), 0);
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(onText, PAUSE_MS);
  });
  choice.input.addEventListener("change", onSample);
  return {
    sample: choice.field,
    text,
    value: () => input.value,
    async takeSample() {
      clearTimeout(timer);
      const sample = SAMPLES[choice.value()]!;
      input.value = "text" in sample ? sample.text : await fetchText(sample.path, sample.bytes);
    },
  };
}
