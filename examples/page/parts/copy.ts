// Code to copy.
import { button } from "./controls.ts";
import { element } from "./elements.ts";

/** A program in a frame that scrolls, with a button that copies it. */
export interface CodeBox {
  readonly element: HTMLElement;
  readonly show: (code: string) => void;
}

/** A box for code; `label` says what the code does. */
export function codeBox(label: string, announce: (text: string) => void): CodeBox {
  const code = element("code");
  const said = element("span", { class: "status" });
  const copy = button("Copy the code", () => {
    // missing where the page is not served securely
    const { clipboard } = navigator as { clipboard?: Clipboard };
    const say = (words: string) => {
      said.textContent = words;
      announce(words);
    };
    const copied = clipboard
      ? clipboard.writeText(code.textContent)
      : Promise.reject(new Error("no clipboard"));
    copied.then(
      () => say("Copied."),
      () => say("The browser does not let this page copy: select the code instead."),
    );
  });
  return {
    element: element(
      "div",
      { class: "code-box" },
      element("pre", { tabindex: 0, role: "region", "aria-label": label }, code),
      element("div", { class: "controls" }, copy, said),
    ),
    show(text) {
      code.textContent = text;
      said.textContent = "";
    },
  };
}
