// The controls with which a mask is put together.
import { button, checkbox, controlRow } from "../../parts/controls.ts";
import { element, fill, uniqueId } from "../../parts/elements.ts";
import {
  EXAMPLES,
  type Expression,
  KINDS,
  type MaskName,
  newTerm,
  type Term,
} from "./expression.ts";

/** The editor: what stands in it, and its element. */
export interface Editor {
  readonly element: HTMLElement;
  readonly expression: () => Expression;
}

const NAMES = Object.keys(KINDS) as MaskName[];

/** Controls of an expression; `onChange` is called after every change. */
export function maskEditor(onChange: () => void): Editor {
  let groups: Term[][] = [];
  const list = element("div", { class: "mask-groups" });
  const start = element(
    "select",
    { id: uniqueId("field") },
    ...EXAMPLES.map(({ label }, n) => element("option", { value: n }, label)),
  );
  const load = () => {
    const { expression } = EXAMPLES[start.selectedIndex]!;
    groups = expression.map(({ terms }) => [...terms]);
    rebuild();
  };
  start.addEventListener("change", load);

  /** Draws all groups again; `focus` is the control that has the focus then. */
  function rebuild(focus?: string): void {
    fill(list, ...groups.flatMap((terms, n) => groupElements(terms, n)));
    if (focus) list.querySelector<HTMLElement>(focus)?.focus();
    onChange();
  }

  function groupElements(terms: Term[], n: number): HTMLElement[] {
    const add = button("and …", () => {
      terms.push(newTerm("window"));
      rebuild(`[data-group="${n}"] .mask-term:nth-of-type(${terms.length}) select`);
    });
    add.setAttribute(
      "aria-label",
      `Add a mask to group ${n + 1}, joined by and`,
    );
    const group = element(
      "fieldset",
      { class: "mask-group", "data-group": n },
      element(
        "legend",
        {},
        groups.length > 1 ? `Group ${n + 1}: all of` : "All of",
      ),
      ...terms.map((_, at) => termElement(terms, at, n)),
      controlRow(add),
    );
    return n === 0 ? [group] : [element("p", { class: "mask-or" }, "or"), group];
  }

  function termElement(terms: Term[], at: number, n: number): HTMLElement {
    const term = terms[at]!, { label, shows, parameters } = KINDS[term.mask];
    const change = (changed: Partial<Term>) => {
      terms[at] = { ...terms[at]!, ...changed };
      onChange();
    };
    const kind = element(
      "select",
      { "aria-label": "Mask" },
      ...NAMES.map((name) =>
        element("option", { value: name, selected: name === term.mask }, KINDS[name].label)
      ),
    );
    kind.addEventListener("change", () => {
      terms[at] = { ...newTerm(NAMES[kind.selectedIndex]!), not: terms[at]!.not };
      rebuild(`[data-group="${n}"] .mask-term:nth-of-type(${at + 1}) select`);
    });
    const not = checkbox("not", term.not);
    not.input.addEventListener("change", () => change({ not: not.input.checked }));
    const numbers = parameters.map(({ label, least }, p) => {
      const id = uniqueId("field");
      const input = element("input", {
        id,
        type: "number",
        min: least,
        step: 1,
        value: term.values[p]!,
      });
      input.addEventListener(
        "input",
        () => change({ values: terms[at]!.values.with(p, input.valueAsNumber) }),
      );
      return element("span", { class: "mask-number" }, element("label", { for: id }, label), input);
    });
    const remove = button("Remove", () => {
      terms.splice(at, 1);
      if (terms.length === 0) groups.splice(n, 1);
      rebuild(groups.length ? ".mask-group button" : undefined);
    });
    remove.setAttribute("aria-label", `Remove ${label}`);
    const words = element("span", { class: "hint" }, shows);
    return element("div", { class: "mask-term" }, not.field, kind, ...numbers, words, remove);
  }

  const more = button("or …", () => {
    groups.push([newTerm("prefix")]);
    rebuild(`[data-group="${groups.length - 1}"] select`);
  });
  more.setAttribute("aria-label", "Add a group, joined by or");
  start.selectedIndex = 2;
  const field = element(
    "div",
    { class: "field" },
    element("label", { for: start.id }, "Start from"),
    start,
  );
  // the caller draws what stands in it at first
  groups = EXAMPLES[start.selectedIndex]!.expression.map(({ terms }) => [...terms]);
  fill(list, ...groups.flatMap((terms, n) => groupElements(terms, n)));
  return {
    element: element("div", { class: "mask-editor" }, controlRow(field), list, controlRow(more)),
    expression: () => groups.map((terms) => ({ terms })),
  };
}
