// The panel that shows what heads attend to: that it is what the library says of the same model and text.
import { Buffer } from "node:buffer";
import type { Locator, Page } from "playwright-core";
import { createEngine } from "../../../mod.ts";
import { readModel } from "../../../examples/byte_lm/model_file.ts";
import { percent } from "../../../examples/page/panels/text/words.ts";
import { Characters } from "../../../examples/page/panels/text/characters.ts";
import { Reading } from "../../../examples/page/panels/text/reading.ts";
import { checkAccessible } from "../accessible.ts";
import { type Check, ok, PATIENCE, type Site } from "../site.ts";

const MODEL = new URL("../../../examples/page/assets/heads.safetensors", import.meta.url);

async function openText(site: Site, isolated: boolean = true): Promise<[Page, Locator]> {
  const page = await site.open({ isolated }), panel = page.locator("#text");
  // panels above grow when their parts have loaded
  for (const part of ["#race .button.primary", "#masks .mask-term", "#text textarea"]) {
    await page.locator(part).first().waitFor();
  }
  await panel.locator("textarea").scrollIntoViewIfNeeded();
  await panel.locator(".attended li").first().waitFor({ timeout: PATIENCE });
  return [page, panel];
}

/** What a character of a text looks at most, and how much, by the library alone. */
async function expected(text: string, layer: number, head: number, character: number) {
  const engine = await createEngine({ backend: "wasm", threads: 1 });
  try {
    const { model } = readModel("the model", await Deno.readFile(MODEL), engine, 4096);
    const characters = new Characters(text);
    const reading = await Reading.of(model, characters.bytes, engine);
    const prepared = await reading.head(layer, head);
    const { strongest } = await reading.attended(prepared, characters, character, 1);
    return percent(strongest[0]!.share);
  } finally {
    engine.dispose();
  }
}

const strongest = (panel: Locator) => panel.locator(".attended-share").first().innerText();
const part = (panel: Locator) => panel.locator("canvas").getAttribute("data-part");

async function looks(site: Site): Promise<string> {
  const [page, panel] = await openText(site), shown = panel.locator(".attention-text");
  const text = await panel.getByLabel("Text", { exact: true }).inputValue();
  await shown.focus();
  await page.keyboard.press("Home");
  for (let n = 0; n < 25; n++) await page.keyboard.press("ArrowRight");
  await panel.locator(".attended-frame .hint", { hasText: "character 26 " }).waitFor();
  const byKey = await strongest(panel), wanted = await expected(text, 1, 0, 25);
  ok(byKey === wanted, `character 26 looks ${byKey} at its strongest, the library says ${wanted}`);

  // a pointer on another one: it is looked at until the pointer leaves
  const [x, y] = await page.evaluate(`(() => {
    const frame = document.querySelector("#text .attention-text");
    const range = document.createRange();
    range.setStart(frame.firstChild, 60);
    range.setEnd(frame.firstChild, 61);
    const { left, top, width, height } = range.getBoundingClientRect();
    return [left + 0.7 * width, top + height / 2];
  })()`) as [number, number];
  await page.mouse.move(x, y);
  await panel.locator(".attended-frame .hint", { hasText: "character 61 " }).waitFor();
  const byPointer = await strongest(panel), also = await expected(text, 1, 0, 60);
  ok(byPointer === also, `character 61 looks ${byPointer} at its strongest, wanted ${also}`);
  await page.mouse.move(2, 2);
  await panel.locator(".attended-frame .hint", { hasText: "character 26 " }).waitFor();
  await panel.getByRole("radio", { name: "1.3" }).check();
  const other = await expected(text, 0, 2, 25);
  await panel.locator(".attended-share", { hasText: other }).first().waitFor();
  const colored = await page.evaluate(
    `[...CSS.highlights.keys()].filter((name) => name.startsWith("attention-")).length`,
  );
  ok(colored as number > 3, `only ${colored} strengths are shown`);
  return `${wanted}, ${also} and ${other}, as the library says`;
}

async function zooms(site: Site): Promise<string> {
  const [page, panel] = await openText(site), canvas = panel.locator("canvas");
  await panel.getByLabel("Start from").selectOption({ label: "6 000 bytes of flashtile’s pages" });
  // a byte or two less where it would end inside of a character
  const whole = panel.locator("canvas[data-part^='0 59'], canvas[data-part^='0 60']");
  await whole.waitFor({ timeout: PATIENCE });
  await panel.locator(".text-map button").last().scrollIntoViewIfNeeded();
  const { x, y, width } = (await canvas.boundingBox())!;
  await page.mouse.move(x + 0.25 * width, y + 0.5 * width);
  await page.mouse.down();
  await page.mouse.move(x + 0.4 * width, y + 0.6 * width, { steps: 3 });
  await page.mouse.up();
  await whole.waitFor({ state: "detached", timeout: PATIENCE });
  const dragged = (await part(panel))!, [r0, r1, k0, k1] = dragged.split(" ").map(Number);
  ok(r1! - r0! < 900 && k1! - k0! < 1200 && k0! > 1000 && r0! > 2500, `it shows ${dragged}`);
  await canvas.focus();
  await page.keyboard.press("+");
  await panel.locator(`canvas:not([data-part='${dragged}'])`).waitFor();
  await page.keyboard.press("0");
  await whole.waitFor({ timeout: PATIENCE });
  const passed = await checkAccessible(page, "text");
  return `dragged to ${dragged}; ${passed} rules of axe-core pass`;
}

async function refuses(site: Site): Promise<string> {
  const [, panel] = await openText(site, false), input = panel.getByLabel("Text", { exact: true });
  const arabic = "كتب قبطان الميناء أسماء السفن.\n👩‍🚀 e\u0301";
  await input.fill(arabic);
  await panel.locator(".attention-text", { hasText: "قبطان" }).waitFor({ timeout: PATIENCE });
  const shown = await panel.locator(".attention-text").textContent();
  ok(shown === arabic, `the text became ${shown}`);
  const box = panel.locator(".error-box");
  const says = (wanted: RegExp) => box.filter({ hasText: wanted }).waitFor({ timeout: PATIENCE });
  await input.fill("");
  await says(/There is no text/);
  await input.fill("a".repeat(20_000));
  await says(/Cannot read 20/);
  await input.fill("short");
  await box.waitFor({ state: "detached" });
  const field = panel.getByLabel("Model of your own"), file = await Deno.readFile(MODEL);
  const open = (name: string, bytes: Uint8Array) =>
    field.setInputFiles({ name, mimeType: "application/octet-stream", buffer: Buffer.from(bytes) });
  await open("notes.txt", new TextEncoder().encode("no model at all"));
  await says(/Cannot read notes\.txt: it is not a model/);
  await open("cut.safetensors", file.subarray(0, 50_000));
  await says(/Cannot read cut\.safetensors: it ends after 50000 bytes/);
  await open("mine.safetensors", file);
  await box.waitFor({ state: "detached" });
  await panel.getByText("mine.safetensors: 8 heads in 2 layers").waitFor();
  return "empty, too long, no model, a model cut off: each says so";
}

/** What heads attend to. */
export const checks: readonly Check[] = [
  { name: "keys, pointer and heads", run: looks },
  { name: "6000 bytes, zoom", run: zooms },
  { name: "scripts, errors, a model of one's own, without isolation", run: refuses },
];
