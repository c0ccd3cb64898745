// The page around its panels: sizes, themes, widths, keyboard, screen readers.
import type { Page } from "playwright-core";
import { firstLoad, sizesOf } from "../../../tools/page/sizes.ts";
import { checkAccessible } from "../accessible.ts";
import { type Check, ok, type Site } from "../site.ts";

const FIRST_LOAD = 400 * 1024;

async function size(site: Site): Promise<string> {
  const sizes = await sizesOf(site.folder), bytes = firstLoad(sizes);
  ok(bytes <= FIRST_LOAD, `the first load is ${bytes} bytes, at most ${FIRST_LOAD} are wanted`);
  const lazy = sizes.find(({ path }) => path.startsWith("backend-"));
  ok(lazy && !lazy.first, "the part for GPUs is in the first load");
  return `${(bytes / 1024).toFixed(0)} KiB`;
}

async function server(site: Site): Promise<string> {
  const page = await site.open(), { origin } = new URL(page.url());
  const statusOf = async (path: string, method = "GET") => {
    const response = await fetch(`${origin}${path}`, { method });
    await response.body?.cancel();
    return response.status;
  };
  ok(await statusOf("/main.js") === 200, "main.js is not there");
  for (const path of ["/x%2f..%2f..%2fetc%2fpasswd", "/%E0%A4%A", "/panels/", "/none.js"]) {
    const status = await statusOf(path);
    ok(status === 404, `the server answers ${path} with ${status}`);
  }
  ok(await statusOf("/", "POST") === 405, "the server takes what is sent to it");
  return "answers with files of the build only";
}

async function panels(site: Site): Promise<string> {
  const page = await site.open();
  const titles = await page.locator("main h2").allTextContents();
  const links = await page.locator("nav a").allTextContents();
  ok(titles.length >= 2, `the page has ${titles.length} panels`);
  ok(`${titles}` === `${links}`, `the panels are ${titles}, the list says ${links}`);
  for (const id of ["machine", "race"]) {
    await page.locator(`#${id} .panel-body > *`).first().waitFor();
  }
  return titles.join(", ");
}

const background = (page: Page) =>
  page.evaluate("getComputedStyle(document.documentElement).backgroundColor");

async function themes(site: Site): Promise<string> {
  const page = await site.open({ dark: true }), dark = await background(page);
  await page.getByRole("radio", { name: "Light" }).check();
  const light = await background(page);
  ok(light !== dark, `light and dark have the same background, ${light}`);
  await page.reload();
  await page.locator("html[data-ready]").waitFor();
  ok(await background(page) === light, "the choice is forgotten when the page is loaded again");
  await page.getByRole("radio", { name: "System" }).check();
  ok(await background(page) === dark, "the system's choice is not taken up again");
  await page.emulateMedia({ colorScheme: "light" });
  await page.locator("html[data-theme=light]").waitFor(); // a change of the system is told by an event
  ok(await background(page) === light, "a change of the system is not followed");
  return `${light} and ${dark}`;
}

async function widths(site: Site): Promise<string> {
  const page = await site.open({ width: 360, height: 740 });
  for (const width of [360, 768, 1280, 1920]) {
    await page.setViewportSize({ width, height: 740 });
    const wide = await page.evaluate("document.documentElement.scrollWidth") as number;
    ok(wide <= width, `at ${width} pixels the page is ${wide} wide`);
  }
  return "nothing sticks out from 360 to 1920 pixels";
}

const focused = (page: Page) =>
  page.evaluate(`(document.activeElement.innerText ?? "") || document.activeElement.value || ""`);

async function keyboard(site: Site): Promise<string> {
  const page = await site.open(), seen: string[] = [];
  await page.locator("#race .button.primary").waitFor();
  await page.keyboard.press("Tab");
  ok(/skip/i.test(`${await focused(page)}`), "the first stop is not the link that skips");
  await page.keyboard.press("Enter");
  ok(await page.evaluate("document.activeElement.id") === "panels", "it leads elsewhere");
  for (let n = 0; n < 20 && !seen.includes("Start the race"); n++) {
    await page.keyboard.press("Tab");
    seen.push(`${await focused(page)}`);
    const outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle");
    ok(outline !== "none", `the focus cannot be seen on ${seen.at(-1)}`);
  }
  ok(seen.includes("Start the race"), `the keys come to ${seen}`);
  return `${seen.length} stops to the race`;
}

async function accessible(site: Site): Promise<string> {
  let passed = 0;
  for (const dark of [false, true]) {
    const page = await site.open({ dark, width: dark ? 360 : 1280 });
    await page.locator("#machine .facts dt").first().waitFor();
    passed += await checkAccessible(page, dark ? "dark, phone" : "light, desktop");
  }
  return `${passed} rules pass`;
}

async function motion(site: Site): Promise<string> {
  const page = await site.open({ reducedMotion: true });
  const moving = await page.evaluate(
    `document.getAnimations().filter((one) => one.effect.getComputedTiming().activeDuration > 0).length`,
  );
  ok(moving === 0, `${moving} animations run although the reader wants none`);
  const scrolling = await page.evaluate(
    "getComputedStyle(document.documentElement).scrollBehavior",
  );
  ok(scrolling === "auto", `scrolling is ${scrolling}`);
  return "nothing moves";
}

/** Text of a program from right to left, and an error in such a language. */
async function rightToLeft(site: Site): Promise<string> {
  const page = await site.open({ width: 360 });
  const side = await page.evaluate(`(() => {
    const text = document.createElement("p");
    text.className = "output-text";
    text.textContent = "שלום";
    document.querySelector(".panel-body").append(text);
    const range = document.createRange();
    range.selectNodeContents(text);
    const { left, right } = range.getBoundingClientRect(), box = text.getBoundingClientRect();
    return { before: left - box.left, after: box.right - right };
  })()`) as { before: number; after: number };
  ok(
    side.before > 4 * side.after,
    `there are ${side.before} pixels left of it, ${side.after} right`,
  );
  return "begins at the right";
}

/** The page around its panels. */
export const checks: readonly Check[] = [
  { name: "first load", run: size },
  { name: "what is served", run: server },
  { name: "panels and their list", run: panels },
  { name: "light, dark and the system's choice", run: themes },
  { name: "from phones to wide screens", run: widths },
  { name: "keyboard", run: keyboard },
  { name: "text from right to left", run: rightToLeft },
  { name: "axe-core, light and dark", run: accessible },
  { name: "reduced motion", run: motion },
];
