// The panel that trains: that the loss falls, that a run stops, goes on, is saved and read, and what it says where it cannot.
import { Buffer } from "node:buffer";
import type { Locator, Page } from "playwright-core";
import { count } from "../../../examples/page/parts/words.ts";
import { checkAccessible } from "../accessible.ts";
import { type Check, ok, PATIENCE, type Site } from "../site.ts";

const WORDS = "the cat sat on the mat, and the dog sat on the log.\n".repeat(60);

async function openTraining(site: Site, isolated: boolean): Promise<[Page, Locator]> {
  const page = await site.open({ isolated }), panel = page.locator("#training");
  await panel.getByRole("button", { name: "Start training" }).waitFor();
  await panel.getByLabel("Model", { exact: true }).selectOption({ index: 0 });
  return [page, panel];
}

const open = (panel: Locator, label: string, name: string, bytes: Uint8Array | string) =>
  panel.getByLabel(label).setInputFiles({
    ...{ name, mimeType: "application/octet-stream" },
    buffer: Buffer.from(bytes),
  });

/** Step and loss, as the status line says them. */
async function status(panel: Locator): Promise<{ step: number; loss: number }> {
  const text = (await panel.locator(".status").first().innerText()).replaceAll("\u202f", "");
  const [, step, loss] = /^Step (\d+), loss ([\d.]+), \d+ tokens a second/.exec(text) ?? [];
  return { step: Number(step ?? NaN), loss: Number(loss ?? NaN) };
}

async function until(
  panel: Locator,
  what: string,
  holds: (now: { step: number; loss: number }) => boolean,
) {
  for (let waited = 0; waited < PATIENCE; waited += 200) {
    const now = await status(panel);
    if (holds(now)) return now;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${what}: ${JSON.stringify(await status(panel))} after ${PATIENCE} ms`);
}

async function trains(site: Site): Promise<string> {
  const [page, panel] = await openTraining(site, false);
  await open(panel, "Text of your own", "cats.txt", WORDS);
  await panel.getByRole("button", { name: "Start training" }).click();
  const first = await until(panel, "the first steps", ({ step }) => step > 0);
  const fallen = await until(
    panel,
    "the loss falls",
    ({ loss }) => loss < first.loss - 1.5 && loss < 2.5,
  );
  await panel.getByRole("button", { name: "Stop" }).click();
  await panel.getByRole("button", { name: "Go on", exact: true }).waitFor();
  const stopped = await status(panel);
  await panel.locator(".output-text strong").waitFor({ timeout: PATIENCE });
  await panel.locator("svg").first().waitFor();
  const passed = await checkAccessible(page, "training");
  ok((await status(panel)).step === stopped.step, "it goes on although it was stopped");
  await panel.getByRole("button", { name: "Go on", exact: true }).click();
  await until(panel, "it goes on", ({ step }) => step > stopped.step + 3);
  await panel.getByRole("button", { name: "Stop" }).click();
  await panel.getByRole("button", { name: "Go on", exact: true }).waitFor();
  const { step } = await status(panel);

  const download = page.waitForEvent("download");
  await panel.getByRole("button", { name: "Save to a file" }).click();
  const saved = await download, path = await saved.path();
  ok(saved.suggestedFilename() === `model-${step}.safetensors`, saved.suggestedFilename());
  const file = await Deno.readFile(path);
  await page.reload();
  await page.locator("html[data-ready]").waitFor();
  await open(panel, "Text of your own", "cats.txt", WORDS);
  await open(panel, "Go on with a saved model", "mine.safetensors", file);
  await panel.getByText(`it has learned for ${count(step)} steps`).waitFor({ timeout: PATIENCE });
  await panel.getByRole("button", { name: "Go on", exact: true }).click();
  const again = await until(panel, "the saved run goes on", (now) => now.step > step);
  ok(again.loss < first.loss - 1, `the loss begins again at ${again.loss}`);
  await panel.getByRole("button", { name: "Stop" }).click();
  await panel.getByRole("button", { name: "Look at its attention" }).click();
  const name = /model-\d+\.safetensors: 4 heads in 1 layers?/;
  await page.locator("#text").getByText(name).waitFor({ timeout: PATIENCE });
  return `loss ${first.loss} to ${fallen.loss}, saved at step ${step} and read; ${passed} rules of axe-core pass`;
}

async function refuses(site: Site): Promise<string> {
  const [, panel] = await openTraining(site, true), box = panel.locator(".error-box");
  const says = async (wanted: RegExp) => {
    await box.filter({ hasText: wanted }).waitFor({ timeout: PATIENCE });
  };
  await open(panel, "Text of your own", "empty.txt", "");
  await panel.getByRole("button", { name: "Start training" }).click();
  await says(/Cannot train on empty\.txt: it is empty/);
  await open(panel, "Text of your own", "short.txt", "too short");
  await panel.getByRole("button", { name: "Start training" }).click();
  await says(/Cannot train on short\.txt: it holds 9 bytes/);
  await open(panel, "Text of your own", "cats.txt", WORDS);
  await open(panel, "Go on with a saved model", "cats.txt", WORDS);
  await says(/Cannot read cats\.txt: it is not a model/);
  const model = await Deno.readFile(
    new URL("../../../examples/page/assets/heads.safetensors", import.meta.url),
  );
  await open(panel, "Go on with a saved model", "cut.safetensors", model.subarray(0, 70_000));
  await says(/Cannot read cut\.safetensors: it ends after 70000 bytes/);
  return "an empty text, a short one, no model, a model cut off: each says so";
}

/** Training in the page. */
export const checks: readonly Check[] = [
  { name: "learns, stops, goes on, saves, reads, without isolation", run: trains },
  { name: "what cannot be trained", run: refuses },
];
