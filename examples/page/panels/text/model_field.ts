// The choice of the model, and of a head of it.
import { segments } from "../../parts/controls.ts";
import { element, fill, uniqueId } from "../../parts/elements.ts";

/** A field for a model from a file; `name` beside it says which one reads. */
export function modelField(onFile: (file: File) => void): {
  readonly field: HTMLElement;
  readonly show: (name: string) => void;
} {
  const id = uniqueId("field"), name = element("span", { class: "hint" });
  const input = element("input", { type: "file", id, accept: ".safetensors" });
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    if (file) onFile(file);
    input.value = ""; // the same file can be opened again
  });
  return {
    field: element(
      "div",
      { class: "field" },
      element("label", { for: id }, "Model of your own, saved by “Train a model”"),
      input,
      name,
    ),
    show(text) {
      name.textContent = text;
    },
  };
}

/** The choice of a layer and a head, counted from 1 where people see them. */
export function headField(
  { layers, heads }: { readonly layers: number; readonly heads: number },
  [layer, head]: readonly [layer: number, head: number],
  onChange: (layer: number, head: number) => void,
): HTMLElement {
  const choices = Array.from({ length: layers * heads }, (_, n) => ({
    value: String(n),
    label: `${Math.floor(n / heads) + 1}.${n % heads + 1}`,
  }));
  const frame = element("div", { class: "field" });
  fill(
    frame,
    element("span", { class: "field-name", "aria-hidden": "true" }, "Layer and head"),
    segments(
      "Layer and head",
      choices,
      String(layer * heads + head),
      (value) => {
        onChange(Math.floor(Number(value) / heads), Number(value) % heads);
      },
    ),
  );
  return frame;
}
