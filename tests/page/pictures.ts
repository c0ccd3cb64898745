// The pictures of docs/page.md.
import type { Page } from "playwright-core";
import { fileURLToPath } from "node:url";
import { ok, type Site } from "./site.ts";

/** Bytes that a picture may have: they are part of every checkout. */
const LARGEST = 120 * 1024;

/** Pixels around an element, which would otherwise stick to the edges of its picture. */
const MARGIN = 20;

/** Saves what is in view, or the upper part of an element, of at most so many pixels. */
async function save(page: Page, name: string, part?: string, most: number = 718): Promise<void> {
  const path = fileURLToPath(new URL(`../../docs/pictures/${name}.png`, import.meta.url));
  await page.waitForTimeout(500); // fonts and charts
  const clip = part && await page.evaluate(`(() => {
    const { x, y, width, height } = document.querySelector("${part}").getBoundingClientRect();
    const margin = Math.min(${MARGIN}, x), most = ${most};
    return {
      ...{ x: x - margin, y: y + scrollY - margin, width: width + 2 * margin },
      height: Math.min(height + 2 * margin, most),
    };
  })()`) as { x: number; y: number; width: number; height: number };
  const options = { path, animations: "disabled" } as const;
  const { length } = await page.screenshot(clip ? { ...options, clip, fullPage: true } : options);
  ok(length <= LARGEST, `${path} has ${length} bytes, at most ${LARGEST} are wanted`);
  console.log(`${path}: ${(length / 1024).toFixed(0)} KiB`);
}

/** The panels that compute when they are seen. */
export async function drawPanels(site: Site): Promise<void> {
  const masks = await site.open({ width: 1000, height: 900, query: "#masks" });
  await masks.locator("#masks .time-bars").scrollIntoViewIfNeeded();
  await masks.locator("#masks .time-bars:not(.waiting)").waitFor();
  await masks.waitForTimeout(3000); // its median settles
  await save(masks, "page-masks", "#masks .mask-figures");

  const text = await site.open({ width: 1000, height: 900, dark: true, query: "#text" });
  await text.locator("#text .attended li").first().waitFor();
  await text.waitForTimeout(2000);
  await save(text, "page-text-dark", "#text .text-results", 900);

  const training = await site.open({ width: 360, height: 900, query: "#training" });
  await training.getByRole("button", { name: "Start training" }).click();
  await training.waitForTimeout(45_000); // a loss that has fallen
  await training.getByRole("button", { name: "Stop" }).click();
  await training.getByRole("button", { name: "Go on", exact: true }).waitFor();
  await training.waitForTimeout(3000);
  await save(training, "page-training-phone", "#training .panel-body", 930);
}

/** Draws them. A race is run for one of them: its numbers are those of this machine. */
export async function drawPictures(site: Site): Promise<void> {
  const light = await site.open({ width: 1000, height: 760 });
  await light.locator("#machine .facts dt").first().waitFor();
  await save(light, "page-light");

  const phone = await site.open({ width: 360, height: 760 });
  await phone.locator("#machine .facts dt").first().waitFor();
  await save(phone, "page-phone");

  const dark = await site.open({ width: 1000, height: 800, dark: true });
  await dark.getByLabel("Memory for standard attention").selectOption({ label: "256 MiB" });
  await dark.getByRole("button", { name: "Start the race" }).click();
  const status = dark.locator("#race .run .status");
  await status.filter({ hasText: "Done" }).waitFor({ timeout: 120_000 });
  await save(dark, "page-race-dark", "#race", 775);
  await drawPanels(site);
  await site.close();
}
