// The panel that puts masks together: that what it shows is what the library says of the same mask.
import type { Page } from "playwright-core";
import {
  EXAMPLES,
  type Expression,
  maskOf,
} from "../../../examples/page/panels/masks/expression.ts";
import { tilesOf } from "../../../examples/page/panels/masks/tiles.ts";
import { checkAccessible } from "../accessible.ts";
import { type Check, ok, PATIENCE, type Site } from "../site.ts";

const LENGTH = 2048, TILE = 64;

async function openMasks(site: Site, isolated: boolean): Promise<Page> {
  const page = await site.open({ isolated });
  await page.locator("#masks .mask-term").first().waitFor();
  await page.locator("#race .button.primary").waitFor(); // it has grown
  await page.locator("#masks .mask-figures").scrollIntoViewIfNeeded();
  return page;
}

/** Waits until the legend has the counts that the library has for an expression. */
async function shows(page: Page, expression: Expression, what: string): Promise<string> {
  const { empty, partial, full } = tilesOf(maskOf(expression, LENGTH), LENGTH, TILE).counts;
  const wanted = `${full} full, ${partial} partial, ${empty} empty`;
  const spaces = /[\s\u202f]/g, strong = page.locator("#masks .mask-legend strong");
  const texts = (await strong.allInnerTexts()).map((text) => text.replaceAll(spaces, " "));
  const digits = texts.map((text) => text.replace(/(\d) (?=\d)/g, "$1")).join(", ");
  ok(digits === wanted, `${what}: the panel says ${digits}, the library ${wanted}`);
  return wanted;
}

const documents = { mask: "documents", not: false, values: [384] } as const;
const causal = { mask: "causal", not: false, values: [] } as const;
const prefix = { mask: "prefix", not: false, values: [256] } as const;

async function combines(site: Site): Promise<string> {
  const page = await openMasks(site, true), panel = page.locator("#masks");
  const first = await shows(page, [{ terms: [documents, causal] }], "at first");
  await panel.getByLabel("not").first().check();
  await shows(page, [{ terms: [{ ...documents, not: true }, causal] }], "with not");
  await panel.getByRole("button", { name: "Add a group, joined by or" }).click();
  const either: Expression = [
    { terms: [{ ...documents, not: true }, causal] },
    { terms: [prefix] },
  ];
  await shows(page, either, "with or");
  const code = await panel.locator("code").innerText();
  ok(
    /masks\.documents\(ids1\)\.not\(\)\.and\(masks\.causal\(\)\)\s+\.or\(masks\.prefix\(256\)\)/
      .test(code),
    code,
  );
  await panel.getByRole("button", { name: "Remove causal" }).click();
  await shows(
    page,
    [{ terms: [{ ...documents, not: true }] }, { terms: [prefix] }],
    "after remove",
  );
  for (const [n, { label, expression }] of EXAMPLES.entries()) {
    await panel.getByLabel("Start from").selectOption(String(n));
    await shows(page, expression, label);
  }
  return `${first} at first; not, or, remove and ${EXAMPLES.length} examples as the library has them`;
}

async function measures(site: Site): Promise<string> {
  const page = await openMasks(site, false), panel = page.locator("#masks");
  await panel.locator(".time-bars").scrollIntoViewIfNeeded();
  await panel.locator(".time-bars:not(.waiting)").waitFor({ timeout: PATIENCE });
  const said = await panel.locator(".time-bars .summary").innerText();
  ok(/times as fast|As fast|times as slow/.test(said), `it says "${said}"`);
  const tiles = panel.locator("canvas").first(), hint = panel.locator(".mask-figures .hint");
  await hint.filter({ hasText: "pairs seen" }).waitFor({ timeout: PATIENCE });
  const before = await hint.innerText();
  await tiles.focus();
  await page.keyboard.press("ArrowUp");
  await hint.filter({ hasNotText: before }).waitFor();
  const number = panel.getByLabel("tokens of each");
  await number.fill("0");
  const box = panel.locator(".error-box");
  await box.waitFor();
  ok(/“tokens of each” is 0, but must be/.test(await box.innerText()), await box.innerText());
  await number.fill("100");
  await box.waitFor({ state: "detached" });
  const passed = await checkAccessible(page, "masks");
  return `${said.trim()}; ${passed} rules of axe-core pass`;
}

/** Masks, put together and measured. */
export const checks: readonly Check[] = [
  { name: "not, and, or", run: combines },
  { name: "time, keys, errors, without isolation", run: measures },
];
