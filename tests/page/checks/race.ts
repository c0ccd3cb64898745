// The race: that it ends by itself and by its button, what it finds, and what it says where it cannot run.
import type { Page } from "playwright-core";
import { checkAccessible } from "../accessible.ts";
import { type Check, ok, PATIENCE, type Site } from "../site.ts";

interface Result {
  readonly points: readonly {
    readonly contender: string;
    readonly length: number;
    readonly ms: number;
    readonly memoryBytes: number;
    readonly error: number;
  }[];
  readonly stops: readonly { readonly contender: string; readonly kind: string }[];
  readonly machine: { readonly engines: readonly unknown[] };
}

const status = (page: Page) => page.locator("#race .run .status");

/** Starts a race that is short: little memory for matrices, little time for a call. */
async function startShort(page: Page, time = "500 ms", memory = "16 MiB"): Promise<void> {
  await page.getByLabel("A call may take").selectOption({ label: time });
  await page.getByLabel("Memory for standard attention").selectOption({ label: memory });
  await page.getByRole("button", { name: "Start the race" }).click();
}

async function untilDone(page: Page): Promise<void> {
  const error = page.locator("#race .error-box");
  await status(page).filter({ hasText: "Done" }).or(error).waitFor({ timeout: PATIENCE });
  ok(await error.count() === 0, `the race says ${await error.allInnerTexts()}`);
}

async function download(page: Page): Promise<Result> {
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download JSON" }).click(),
  ]);
  return JSON.parse(await Deno.readTextFile(await file.path()));
}

/** What holds of every race. */
function checkResult({ points, stops, machine }: Result, contenders: readonly string[]): void {
  for (const id of contenders) {
    const own = points.filter(({ contender }) => contender === id);
    ok(own.length > 0, `${id} has no point`);
    ok(
      own.every(({ error, ms }) => error < 1e-5 && ms > 0),
      `${id} is wrong: ${JSON.stringify(own)}`,
    );
    ok(stops.filter(({ contender }) => contender === id).length === 1, `${id} has not one end`);
  }
  ok(machine.engines.length === contenders.length / 2, "the engines are not told");
}

async function whole(site: Site): Promise<string> {
  const page = await site.open();
  await startShort(page, "2 s", "64 MiB");
  await untilDone(page);
  const result = await download(page), { points, stops } = result;
  checkResult(result, ["flash cpu", "standard cpu"]);
  const memory = (id: string) =>
    points.filter(({ contender }) => contender === id).map(({ memoryBytes }) => memoryBytes);
  const standard = memory("standard cpu"), flash = memory("flash cpu");
  ok(stops.some(({ kind }) => kind === "memory"), "the matrix always fits");
  ok(standard.at(-1)! > 3 * standard.at(-2)!, `standard attention took ${standard} bytes`);
  ok(flash.length > standard.length, "flashtile stops where standard attention does");
  ok(flash.at(-1)! < 2 * flash.at(-2)!, `flashtile took ${flash} bytes`);
  const rows = await page.locator("#race tbody tr").count();
  ok(rows === flash.length, `the table has ${rows} rows, wanted ${flash.length}`);
  ok(await page.locator("#race svg").count() === 2, "there are not two charts");
  await checkAccessible(page, "after a race");
  return `${rows} lengths; ${await page.locator("#race .stops").innerText()}`;
}

async function stopped(site: Site): Promise<string> {
  const page = await site.open({ isolated: false });
  const start = page.getByRole("button", { name: "Start the race" });
  for (let turn = 0; turn < 2; turn++) {
    await start.click();
    await status(page).filter({ hasText: "tokens" }).waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await status(page).filter({ hasText: "Stopped" }).waitFor();
    ok(await start.isVisible(), "it cannot be started again");
  }
  await startShort(page);
  await untilDone(page);
  checkResult(await download(page), ["flash cpu", "standard cpu"]);
  const done = await status(page).innerText();
  ok(/\d workers on the CPU/.test(done), `it says "${done}"`);
  return `twice, then a whole race: ${done}`;
}

async function both(site: Site): Promise<string> {
  const page = await site.open({ query: "?gpu=software" });
  await startShort(page);
  await untilDone(page);
  const result = await download(page);
  checkResult(result, ["flash cpu", "standard cpu", "flash gpu", "standard gpu"]);
  return `${result.points.length} points`;
}

async function missing(site: Site): Promise<string> {
  const page = await site.open({ missing: /standard-\w+\.wasm$/ });
  await startShort(page);
  const box = page.locator("#race .error-box");
  await box.waitFor({ timeout: PATIENCE });
  const text = await box.innerText();
  ok(/did not load/.test(text), `the race says "${text}"`);
  ok(await page.getByRole("button", { name: "Start the race" }).isVisible(), "no other try");
  return text.replaceAll("\n", " ");
}

/** The race. */
export const checks: readonly Check[] = [
  { name: "to its end", run: whole },
  { name: "stopped, without isolation", run: stopped },
  { name: "on both engines", run: both },
  { name: "a file that is missing", run: missing },
];
