// The panel: a mask, its tiles, what it saves, its code.
import type { MaskMod } from "@flashtile/attention";
import type { Page } from "../../panel.ts";
import { controlRow, select } from "../../parts/controls.ts";
import { codeBox } from "../../parts/copy.ts";
import { element, fill } from "../../parts/elements.ts";
import { errorBox } from "../../parts/error_box.ts";
import { seen } from "../../parts/seen.ts";
import { count, digits3, duration } from "../../parts/words.ts";
import { maskEditor } from "./editor.ts";
import { type Expression, maskOf, programOf } from "./expression.ts";
import { pairPicture, tilePicture } from "./pictures.ts";
import { raceOf } from "./race.ts";
import { pairsOf, type Tiles, tilesOf } from "./tiles.ts";
import { timeBars } from "./time_bars.ts";

const LENGTHS = [512, 1024, 2048, 4096, 8192], BLOCKS = [64, 128, 256];
/** Pause after the last change before anything is measured, and how long is measured. */
const PAUSE_MS = 350, MEASURE_MS = 2500, TURNS = 9;

/** What is shown now. */
interface Shown {
  readonly mask: MaskMod;
  readonly tiles: Tiles;
  readonly length: number;
  readonly block: number;
}

/** Builds the panel. */
export function mountMasks(panel: HTMLElement, page: Page): void {
  const length = select("Tokens", LENGTHS.map((value) => ({ value, label: count(value) })), 2048);
  const block = select(
    "Tile",
    BLOCKS.map((value) => ({ value, label: `${value} × ${value}` })),
    64,
  );
  const errors = element("div"), legend = element("ul", { class: "legend mask-legend" });
  const summary = element("p", { class: "summary", role: "status" });
  const pairWords = element("p", { class: "hint" });
  const bars = timeBars(), code = codeBox("Program that makes this mask", page.announce);
  const tilesPicture = tilePicture(() =>
      void showPairs().catch((error) => fail(error, "The pairs could not be computed."))
    ),
    pairsPicture = pairPicture();
  let shown: Shown | undefined, running: AbortController | undefined, timer = 0;

  const fail = (error: unknown, what?: string) => fill(errors, errorBox(error, what));

  async function showPairs(): Promise<void> {
    await seen(tilesPicture.canvas);
    if (!shown) return;
    const { mask, length, block, tiles } = shown, place = tilesPicture.chosen();
    const range = (n: number) =>
      `${count(n * block)} to ${count(Math.min(length, (n + 1) * block) - 1)}`;
    const kind = ["empty", "partial", "full"][tiles.kinds[place[0] * tiles.side + place[1]]!]!;
    const pairs = await pairsOf(mask, length, block, place, await page.engine());
    if (shown?.mask !== mask || tilesPicture.chosen() !== place) return;
    pairsPicture.show(pairs);
    const visible = pairs.seen.reduce((sum, x) => sum + x, 0);
    pairWords.textContent = `Queries ${range(place[0])}, keys ${range(place[1])}: ${kind}, ` +
      `${count(visible)} of ${count(pairs.seen.length)} pairs seen.`;
    tilesPicture.canvas.setAttribute(
      "aria-label",
      `Tiles of the mask. ${pairWords.textContent} Arrow keys move.`,
    );
    if (document.activeElement === tilesPicture.canvas) {
      page.announce(pairWords.textContent);
    }
  }

  /** Measures what is shown, for as long as it is shown. */
  async function measure({ tiles, length }: Shown, stop: AbortSignal): Promise<void> {
    const engine = await page.engine(), start = performance.now();
    for await (const race of raceOf(tiles.blockMask, length, engine, TURNS, stop)) {
      if (stop.aborted) break;
      bars.show(race, engine.backend === "webgpu" ? "GPU" : "CPU");
      if (performance.now() - start > MEASURE_MS) break;
    }
  }

  function update(expression: Expression): void {
    running?.abort();
    clearTimeout(timer);
    fill(errors);
    const tokens = length.value(), size = block.value();
    try {
      const mask = maskOf(expression, tokens), tiles = tilesOf(mask, tokens, size);
      shown = { mask, tiles, length: tokens, block: size };
      code.show(programOf(expression, tokens, size));
      describe(shown);
      tilesPicture.show(tiles);
    } catch (error) {
      fill(errors, errorBox(error));
      return;
    }
    bars.wait();
    const { signal } = running = new AbortController(), now = shown;
    timer = setTimeout(async () => {
      await seen(bars.element);
      if (signal.aborted) return;
      measure(now, signal).catch((error) => {
        if (!signal.aborted) fail(error, "The mask could not be measured.");
      });
    }, PAUSE_MS);
  }

  function describe({ tiles: { counts, blockMask, milliseconds } }: Shown): void {
    const { empty, partial, full } = counts, all = empty + partial + full;
    summary.textContent =
      `${digits3(100 * blockMask.density)} % of the tiles have something to compute; ` +
      `that was found in ${duration(milliseconds)}, without looking at a pair.`;
    const entry = (kind: string, n: number, words: string) =>
      element(
        "li",
        { "data-kind": kind },
        element("span", { class: `mask-swatch ${kind}` }),
        element(
          "span",
          {},
          element("strong", {}, `${count(n)} ${kind}`),
          ` (${digits3(100 * n / all)} %) ${words}`,
        ),
      );
    fill(
      legend,
      entry("full", full, "computed without looking at the mask"),
      entry("partial", partial, "computed, every pair looked at"),
      entry("empty", empty, "never computed"),
    );
  }

  const editor = maskEditor(() => change());
  const change = () => update(editor.expression());
  for (const { input } of [length, block]) {
    input.addEventListener("change", change);
  }
  fill(
    panel,
    editor.element,
    controlRow(length.field, block.field),
    errors,
    summary,
    element(
      "div",
      { class: "figures mask-figures" },
      figure(
        "Tiles: queries from top to bottom, keys from left to right",
        tilesPicture.canvas,
        legend,
      ),
      figure("Pairs of one tile", pairsPicture.canvas, pairWords),
    ),
    bars.element,
    element("h3", {}, "The same in your program"),
    code.element,
  );
  change();
}

function figure(caption: string, ...children: readonly HTMLElement[]): HTMLElement {
  return element("figure", { class: "chart" }, element("figcaption", {}, caption), ...children);
}
