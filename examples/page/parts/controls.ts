// Controls, each with its label. A field is what goes into the page, an input is what has the value.
import { type Child, element, uniqueId } from "./elements.ts";

/** A control with its label around it. */
export interface Field<Input extends HTMLElement> {
  /** What is put into the page. */
  readonly field: HTMLElement;
  /** What has the value and sends `input` and `change`. */
  readonly input: Input;
}

/** Further words of a control. */
export interface FieldOptions {
  /** A sentence under the control. */
  readonly hint?: string;
}

/** Controls in a row that breaks where it must. */
export function controlRow(...children: readonly Child[]): HTMLElement {
  return element("div", { class: "controls" }, ...children);
}

/** A button; `"primary"`: the one that starts what the panel is about. */
export function button(
  label: string,
  onClick: () => void,
  kind: "primary" | "plain" = "plain",
): HTMLButtonElement {
  const on = { click: onClick };
  return element(
    "button",
    { type: "button", class: `button ${kind}`, on },
    label,
  );
}

function labelled<Input extends HTMLElement>(
  label: string,
  input: Input,
  { hint }: FieldOptions,
): Field<Input> {
  const id = input.id = uniqueId("field");
  const hintId = hint === undefined ? undefined : `${id}-hint`;
  if (hintId) input.setAttribute("aria-describedby", hintId);
  const field = element(
    "div",
    { class: "field" },
    element("label", { for: id }, label),
    input,
    hintId && element("p", { class: "hint", id: hintId }, hint),
  );
  return { field, input };
}

/** A choice among values, by their words. */
export function select<Value extends string | number>(
  label: string,
  choices: readonly { readonly value: Value; readonly label: string }[],
  initial: Value,
  options: FieldOptions = {},
): Field<HTMLSelectElement> & { readonly value: () => Value } {
  const input = element(
    "select",
    {},
    ...choices.map(({ value, label }) =>
      element("option", { value, selected: value === initial }, label)
    ),
  );
  const value = () => choices[input.selectedIndex]!.value;
  return { ...labelled(label, input, options), value };
}

/** A number on a slider; `say` puts it in words. */
export function slider(
  label: string,
  { min, max, step = 1, value, say = String }: {
    readonly min: number;
    readonly max: number;
    readonly step?: number;
    readonly value: number;
    readonly say?: (value: number) => string;
  },
  options: FieldOptions = {},
): Field<HTMLInputElement> & { readonly value: () => number } {
  const input = element("input", { type: "range", min, max, step, value });
  const { field } = labelled(label, input, options);
  const words = element("output", { for: input.id, class: "slider-value" });
  const show = () => {
    words.textContent = say(input.valueAsNumber);
    input.setAttribute("aria-valuetext", say(input.valueAsNumber));
  };
  input.addEventListener("input", show);
  show();
  field.querySelector("label")!.append(" ", words);
  return { field, input, value: () => input.valueAsNumber };
}

/** A box to tick, with its label behind it. */
export function checkbox(
  label: string,
  checked = false,
): Field<HTMLInputElement> {
  const input = element("input", {
    type: "checkbox",
    id: uniqueId("field"),
    checked,
  });
  const field = element(
    "div",
    { class: "field tick" },
    input,
    element("label", { for: input.id }, label),
  );
  return { field, input };
}

/** Lines of text. `dir` is "auto", so that text from right to left stands right. */
export function textArea(
  label: string,
  value: string,
  { rows = 4, ...options }: FieldOptions & { readonly rows?: number } = {},
): Field<HTMLTextAreaElement> {
  const input = element(
    "textarea",
    { rows, dir: "auto", spellcheck: "false" },
    value,
  );
  return labelled(label, input, options);
}

/** A few values that exclude each other, side by side. */
export function segments<Value extends string>(
  label: string,
  choices: readonly { readonly value: Value; readonly label: string }[],
  initial: Value,
  onChange: (value: Value) => void,
): HTMLFieldSetElement {
  const name = uniqueId("choice");
  return element(
    "fieldset",
    { class: "segments" },
    element("legend", {}, label),
    ...choices.map(({ value, label }) => {
      const checked = value === initial, on = { change: () => onChange(value) };
      const input = element("input", {
        type: "radio",
        name,
        value,
        checked,
        on,
      });
      return element("label", {}, input, element("span", {}, label));
    }),
  );
}
