// Two times as bars, the longer one as long as there is room.
import { element, fill } from "../../parts/elements.ts";
import { digits3, duration } from "../../parts/words.ts";
import type { Race } from "./race.ts";

/** The bars. */
export interface TimeBars {
  readonly element: HTMLElement;
  readonly show: (race: Race, where: string) => void;
  /** What was measured is no longer what is shown. */
  readonly wait: () => void;
}

/** Bars for attention with a mask and without. */
export function timeBars(): TimeBars {
  const words = element("p", { class: "summary" }), hint = element("p", { class: "hint" });
  const bar = (label: string, kind: string) => {
    const fillElement = element("span", { class: `time-fill ${kind}` }),
      value = element("span", { class: "time-value" });
    const row = element(
      "div",
      { class: "time-row" },
      element("span", { class: "time-label" }, label),
      element("span", { class: "time-track" }, fillElement),
      value,
    );
    return {
      row,
      set: (ms: number, most: number) => {
        fillElement.style.inlineSize = `${100 * ms / most}%`;
        value.textContent = duration(ms);
      },
    };
  };
  const masked = bar("with the mask", "masked"), dense = bar("without", "dense");
  const frame = element("div", { class: "time-bars" }, words, masked.row, dense.row, hint);
  return {
    element: frame,
    show(race, where) {
      frame.classList.remove("waiting");
      const most = Math.max(race.masked, race.dense), factor = race.dense / race.masked;
      masked.set(race.masked, most);
      dense.set(race.dense, most);
      fill(
        words,
        factor >= 1.05 ? element("strong", {}, `${digits3(factor)} times as fast`) : element(
          "strong",
          {},
          factor > 0.95 ? "As fast" : `${digits3(1 / factor)} times as slow`,
        ),
        factor >= 1.05 || factor <= 0.95
          ? " as attention without a mask"
          : " as attention without a mask: every tile has to be computed",
      );
      hint.textContent =
        `On this machine's ${where}: one head of 64, forward, median of ${race.turns} in turns.`;
    },
    wait() {
      frame.classList.add("waiting");
      if (hint.textContent === "") fill(words, "Measured here in a moment …");
    },
  };
}
