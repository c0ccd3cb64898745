// The page of examples/page in headless Chromium, with SwiftShader as its GPU: builds it, serves it with and without the
// headers that threads need, and runs the checks of tests/page/checks. One line for each check; the last line is
// "page: N checks passed".
//
//   deno task test:page [NAME...]     of checks/NAME.ts; CHROMIUM=/path where it is neither on PATH nor in /usr/bin
//   deno task test:page --pictures    draws those of docs/page.md instead
import { buildPage } from "../../tools/page/bundle.ts";
import { findBrowser } from "../browser/launch.ts";
import { within } from "../consumers/process.ts";
import { variable } from "../selection.ts";
import { drawPictures } from "./pictures.ts";
import { type Check, launch, ok, Site } from "./site.ts";

/** Files of checks, with the checks that each has; one that is missing must not look like success. */
const FILES: Readonly<Record<string, number>> = {
  ...{ shell: 9, machine: 6, race: 4 },
  ...{ masks: 2, text: 3, training: 2 },
};
/** Time limit of a check. */
const SECONDS = 120;

const count = { passed: 0, failed: 0 };

function say(result: "ok" | "FAILED" | "skipped", name: string, text: string): void {
  console.log(`${result.padEnd(8)}${name}: ${text.trim().replaceAll("\n", "\n          ")}`);
}

function fail(name: string, text: string): void {
  count.failed++;
  say("FAILED", name, text);
}

async function run(name: string, check: Check, site: Site): Promise<void> {
  const begin = performance.now();
  try {
    let text: string;
    try {
      text = await within(SECONDS, "the check", check.run(site));
    } finally {
      await site.close();
    }
    count.passed++;
    say("ok", name, `${text} (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
  } catch (error) {
    await site.close().catch(() => {});
    // a browser that is gone sends its whole log
    fail(name, (error as Error).message.split("\n").slice(0, 12).join("\n"));
  }
}

async function runFile(file: string, site: Site): Promise<void> {
  const { checks } = await import(`./checks/${file}.ts`) as { checks: readonly Check[] };
  const { length } = checks, wanted = FILES[file];
  ok(length === wanted, `${file} has ${length} checks, wanted ${wanted}`);
  for (const check of checks) await run(`${file}, ${check.name}`, check, site);
}

/** Builds the page and opens a browser for what is done with it. */
async function withSite(program: string, use: (site: Site) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "flashtile-page-" });
  try {
    await buildPage(folder);
    const browser = await launch(program);
    try {
      await use(new Site(folder, browser));
    } finally {
      await browser.close();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const chromium = await findBrowser("chromium", variable("CHROMIUM"));
if (!chromium) {
  const text = "there is no Chromium, neither chromium nor google-chrome";
  if (variable("FLASHTILE_GPU") === "required") fail("page", text);
  else say("skipped", "page", text);
} else {
  console.log(chromium.version);
  const pictures = Deno.args.includes("--pictures");
  const asked = Deno.args.filter((name) => name !== "--pictures");
  const unknown = asked.filter((name) => !(name in FILES));
  if (unknown.length > 0) {
    fail("page", `there are no checks ${unknown}, only ${Object.keys(FILES)}`);
  }
  const files = Object.keys(FILES).filter((name) => asked.length === 0 || asked.includes(name));
  try {
    await withSite(chromium.program, async (site) => {
      if (pictures) return await drawPictures(site);
      for (const file of files) await runFile(file, site);
    });
  } catch (error) {
    fail("page", (error as Error).message);
  }
}
if (count.failed > 0) console.log(`page: ${count.passed} checks passed, ${count.failed} failed`);
else if (chromium) console.log(`page: ${count.passed} checks passed`);
Deno.exit(count.failed > 0 ? 1 : 0);
