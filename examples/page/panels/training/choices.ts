// What a person chooses before training: the text, and how large the model is.
import type { ModelShape } from "../../../byte_lm/parameters.ts";
import { select } from "../../parts/controls.ts";
import { element, uniqueId } from "../../parts/elements.ts";
import { bytes as inBytes } from "../../parts/words.ts";
import type { NamedText } from "./session.ts";

/** Longest text, so that a film opened by mistake does not fill the memory. */
const LONGEST_TEXT = 64 * 2 ** 20;
const PAGES = "assets/pages.txt";

/** Sizes of models: what a phone learns in a minute, and what takes a laptop several. */
const SIZES: readonly { readonly label: string; readonly shape: ModelShape }[] = [
  {
    label: "small: 1 layer, context 128",
    shape: { layers: 1, heads: 4, kvHeads: 1, headDim: 8, dim: 32, context: 128 },
  },
  {
    label: "medium: 2 layers, context 256",
    shape: { layers: 2, heads: 4, kvHeads: 1, headDim: 16, dim: 64, context: 256 },
  },
  {
    label: "large: 3 layers, context 512",
    shape: { layers: 3, heads: 6, kvHeads: 2, headDim: 16, dim: 96, context: 512 },
  },
];

/** The choice of a size. */
export function sizeField(): {
  readonly field: HTMLElement;
  readonly shape: () => ModelShape;
} {
  const { field, value } = select("Model", SIZES.map(({ label }, n) => ({ value: n, label })), 1);
  return { field, shape: () => SIZES[value()]!.shape };
}

/** The choice of a text: this project's pages, until a file is opened. */
export function textField(): {
  readonly field: HTMLElement;
  readonly text: () => Promise<NamedText>;
} {
  const id = uniqueId("field"), words = element("p", { class: "hint", id: `${id}-hint` });
  const input = element("input", {
    type: "file",
    id,
    "aria-describedby": `${id}-hint`,
  });
  const show = () => {
    const [file] = input.files ?? [];
    words.textContent = file
      ? `${file.name}, ${inBytes(file.size)}`
      : "Any file of text. Without one: flashtile’s own pages.";
  };
  input.addEventListener("change", show);
  show();
  const field = element(
    "div",
    { class: "field" },
    element("label", { for: id }, "Text of your own"),
    input,
    words,
  );
  return { field, text: () => readText(input.files?.[0]) };
}

async function readText(file: File | undefined): Promise<NamedText> {
  if (!file) {
    const response = await fetch(new URL(PAGES, document.baseURI));
    if (!response.ok) {
      throw new Error(
        `Cannot load ${PAGES}: the server answers ${response.status}`,
      );
    }
    return { name: "flashtile’s own pages", bytes: new Uint8Array(await response.arrayBuffer()) };
  }
  const { name, size } = file;
  if (size === 0) throw new RangeError(`Cannot train on ${name}: it is empty`);
  if (size > LONGEST_TEXT) {
    throw new RangeError(
      `Cannot train on ${name}: it has ${inBytes(size)}, and ${inBytes(LONGEST_TEXT)} are the most`,
    );
  }
  return { name, bytes: new Uint8Array(await file.arrayBuffer()) };
}
