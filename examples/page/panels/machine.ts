// What computes here, and why.
import { button } from "../parts/controls.ts";
import { element, fill } from "../parts/elements.ts";
import { errorBox } from "../parts/error_box.ts";
import type { Page, Panel } from "../panel.ts";
import { engineFacts, type Fact, isolationFact, summaryOf } from "./machine/facts.ts";
import { findGpu } from "./machine/gpu.ts";
import { prove } from "./machine/proof.ts";

function factRow({ term, value, why, remedy }: Fact): HTMLElement {
  return element(
    "div",
    {},
    element("dt", {}, term),
    element(
      "dd",
      {},
      element("p", {}, value && element("strong", {}, value), why && ` ${why}`),
      remedy && element("p", { class: "remedy" }, remedy),
    ),
  );
}

/** Builds the panel: what the browser has at once, what the engine is when it has computed something. */
async function mount(panel: HTMLElement, page: Page): Promise<void> {
  const summary = element(
    "p",
    { class: "summary" },
    "Looking for what there is …",
  );
  const list = element("dl", { class: "facts" });
  const problem = element("div", { class: "run" });
  const again = button("Look again", () => void look());
  const show = (facts: readonly Fact[]) => fill(list, ...facts.map(factRow));
  const look = async () => {
    again.disabled = true;
    fill(problem);
    const gpu = await findGpu();
    try {
      const engine = await page.engine(), proof = await prove(engine);
      const [cpu] = await page.engines();
      fill(summary, summaryOf(engine, gpu));
      show(engineFacts(engine, cpu!, gpu, proof));
    } catch (error) {
      fill(summary, "flashtile cannot compute in this browser as it is.");
      fill(problem, errorBox(error, "The engine could not be made."));
      show([isolationFact()]);
    }
    again.disabled = false;
  };
  fill(
    panel,
    summary,
    problem,
    list,
    element("div", { class: "controls" }, again),
  );
  await look();
}

/** What computes here, and why. */
export const machine: Panel = {
  id: "machine",
  title: "Your machine",
  intro: "What flashtile found here, what it chose, and what would make it faster.",
  mount,
};
