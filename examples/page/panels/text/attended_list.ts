// What one character looks at, as a list.
import { element, fill } from "../../parts/elements.ts";
import type { Characters } from "./characters.ts";
import type { Attended } from "./reading.ts";
import { percent, SMALL, visible } from "./words.ts";

/** The list in the page. */
export interface AttendedList {
  readonly element: HTMLElement;
  readonly show: (
    characters: Characters,
    character: number,
    strongest: readonly Attended[],
    numbers: readonly string[],
  ) => void;
}

/** Characters of context on each side. */
const CONTEXT = 12;

/** An empty list; an entry that is pressed chooses its character. */
export function attendedList(onChoose: (character: number) => void): AttendedList {
  const heading = element("h3", {}), numbers = element("p", { class: "hint" });
  const list = element("ol", { class: "attended" });
  const rest = element("p", { class: "hint" });
  return {
    element: element("div", { class: "attended-frame" }, heading, numbers, list, rest),
    show(characters, character, strongest, facts) {
      fill(heading, sign(characters.at(character)), " looks at");
      fill(numbers, facts.join(" · "));
      fill(
        list,
        ...strongest.filter(({ share }) => share >= SMALL).map(
          ({ character: key, share }) => {
            const [before, self, after] = characters.around(key, CONTEXT);
            const excerpt = element(
              "bdi",
              { class: "attended-text" },
              before.replaceAll(/\s/g, " "),
              element("mark", {}, visible(self)),
              after.replaceAll(/\s/g, " "),
            );
            const bar = element("span", { class: "attended-bar" });
            bar.style.inlineSize = `${100 * share}%`;
            const on = { click: () => onChoose(key) };
            const value = element("span", { class: "attended-share" }, percent(share));
            return element(
              "li",
              {},
              element("button", { type: "button", on }, value, excerpt, bar),
            );
          },
        ),
      );
      const seen = strongest.reduce((sum, { share }) => sum + share, 0);
      rest.textContent = seen > 0.9995 ? "" : `All others: ${percent(1 - seen)}`;
    },
  };
}

/** A character between quotation marks. */
export function sign(character: string): HTMLElement {
  return element("bdi", {}, `“${visible(character)}”`);
}
