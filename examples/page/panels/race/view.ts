// The controls of the race and what it shows.
import type { Engine, WasmTarget } from "@flashtile/attention";
import { controlRow, select } from "../../parts/controls.ts";
import { element, fill } from "../../parts/elements.ts";
import { type Run, runControls } from "../../parts/run_controls.ts";
import { shareButtons } from "../../parts/share.ts";
import { bytes, duration, plural } from "../../parts/words.ts";
import { hands } from "../../engines.ts";
import type { Page } from "../../panel.ts";
import { LOOKS, raceCharts } from "./charts.ts";
import type { Contender } from "./contender.ts";
import { flashContender } from "./flash.ts";
import { type RaceResult, report, type Settings, STANDARD } from "./result.ts";
import { runRace } from "./run.ts";
import { standardCpu } from "./standard_cpu.ts";
import { standardGpu } from "./standard_gpu.ts";
import { errorSentence, pointsTable, stopsList, summary } from "./tables.ts";

const HEAD_DIM = 64;
const MIB = 2 ** 20;

/** At least four heads, and as many to each thread or worker: nobody waits for one that has more than others. */
function headsFor(hands: number): number {
  return hands * Math.ceil(4 / hands);
}

async function contendersFor(
  engines: readonly Engine[],
  settings: Settings,
): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const engine of engines) {
    contenders.push(flashContender(engine));
    const { target } = engine, { budget } = settings;
    contenders.push(
      target.backend === "wasm"
        ? await standardCpu(target, settings, budget)
        : await standardGpu(engine, settings, budget),
    );
  }
  return contenders;
}

/** Phones say how little they have; a tab that takes too much is ended. */
function defaultBudget(): number {
  const { deviceMemory = 8 } = navigator as { deviceMemory?: number };
  return deviceMemory <= 4 ? 256 * MIB : 1024 * MIB;
}

function legend(contenders: readonly Contender[]): HTMLElement {
  return element(
    "ul",
    { class: "legend" },
    ...contenders.map(({ id, name }) => {
      const swatch = element("span", {
        class: `swatch ${LOOKS[id].symbol}`,
        "aria-hidden": "true",
      });
      swatch.style.background = LOOKS[id].color;
      return element("li", {}, swatch, name);
    }),
  );
}

/** What is compared, and how. */
function explanation(): HTMLElement {
  return element(
    "details",
    {},
    element("summary", {}, "What is compared"),
    element("p", { class: "note" }, STANDARD),
    element(
      "p",
      { class: "note" },
      "Both have their tensors where they compute, in float32, without a mask; only in a page that is not isolated " +
        "flashtile has them in the page, and sends them to workers in the time that is measured. A call is warmed up once and then measured " +
        "three to five times, in turns; the fastest counts. Memory is what is held beyond q, k, v and the result. Error is the " +
        "largest difference from float64 in four rows, as a share of the largest value.",
    ),
  );
}

/** Builds the panel. */
export function raceView(panel: HTMLElement, page: Page): void {
  let result: RaceResult = { points: [], stops: [] };
  let shared: () => object = () => ({});
  const limit = select(
    "A call may take",
    [500, 2000, 8000].map((value) => ({ value, label: duration(value) })),
    2000,
  );
  const budget = select(
    "Memory for standard attention",
    [16, 64, 256, 1024, 3072].map((n) => ({
      value: n * MIB,
      label: bytes(n * MIB),
    })),
    defaultBudget(),
  );
  const charts = raceCharts(() => result);
  const figures = element("div", { class: "figures", hidden: true });
  figures.append(...charts.map(({ element }) => element));
  const names = element("div"), words = element("div", { class: "race-words" });
  const numbers = element("div"), errors = element("p", { class: "note" });
  const share = shareButtons(
    "flashtile-race.json",
    () => shared(),
    page.announce,
  );
  share.hidden = true;
  const show = () => {
    for (const { update } of charts) update();
    const sentences = summary(result).map((text) => element("p", { class: "summary" }, text));
    fill(
      words,
      ...sentences,
      result.stops.length > 0 ? stopsList(result) : undefined,
    );
    const some = result.points.length > 0;
    fill(numbers, some ? pointsTable(result) : undefined);
    fill(errors, some ? errorSentence(result) : undefined);
    share.hidden = figures.hidden = !some;
  };
  const run = async ({ signal, say }: Run) => {
    say("Getting the engines …");
    const engines = await page.engines();
    const target = engines[0]!.target as WasmTarget, { workers } = target;
    const settings = {
      ...{ heads: headsFor(hands(target)), headDim: HEAD_DIM },
      ...{ limitMs: limit.value(), budget: budget.value() },
    };
    const contenders = await contendersFor(engines, settings);
    fill(names, legend(contenders));
    result = { points: [], stops: [] };
    shared = () => report(result, settings, engines);
    show();
    await runRace(contenders, settings, result, { signal, say, changed: show });
    say(
      `Done: ${settings.heads} heads of ${HEAD_DIM}, ${
        plural(hands(target), workers ? "worker" : "thread")
      } on the CPU.`,
    );
    page.announce(`The race is over. ${summary(result).join(" ")}`);
  };
  fill(
    panel,
    controlRow(limit.field, budget.field),
    runControls("Start the race", run).element,
    names,
    element(
      "div",
      { class: "figures" },
      ...charts.map(({ element }) => element),
    ),
    words,
    numbers,
    errors,
    share,
    explanation(),
  );
}
