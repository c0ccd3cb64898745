// Errors where they happen, in words.
import { element } from "./elements.ts";

/** What an error says, without its stack. */
export function errorText(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  return typeof error === "string" ? error : "something went wrong that said nothing about itself";
}

/** A box that says what could not be done and why. It is announced when it enters the page. */
export function errorBox(error: unknown, what?: string): HTMLElement {
  console.error(error);
  return element(
    "div",
    { class: "error-box", role: "alert" },
    what === undefined ? undefined : element("strong", {}, what),
    element("p", { dir: "auto" }, errorText(error)),
  );
}
