// The panel that says what computes here.
import type { Page } from "playwright-core";
import { type Check, ok, PATIENCE, type Site, type Visit } from "../site.ts";

/** The facts by their terms, once there are some. */
async function factsOf(page: Page): Promise<Map<string, string>> {
  const rows = page.locator("#machine .facts > div");
  await rows.first().waitFor({ timeout: PATIENCE });
  const texts = await rows.allInnerTexts();
  return new Map(texts.map((text) => {
    const [term, ...rest] = text.split("\n");
    return [term!, rest.join(" ").trim().replaceAll(/\s+/g, " ")];
  }));
}

function says(facts: ReadonlyMap<string, string>, term: string, wanted: RegExp): void {
  const text = facts.get(term) ?? "nothing";
  ok(wanted.test(text), `${term} says "${text}", wanted ${wanted}`);
}

async function isolated(site: Site): Promise<string> {
  const page = await site.open(), facts = await factsOf(page);
  const cores = await page.evaluate("navigator.hardwareConcurrency");
  says(facts, "Threads", new RegExp(`^${cores} of ${cores} core`));
  says(facts, "Isolation", /^Isolated/);
  says(facts, "GPU", /software/i);
  says(facts, "First result", /agree/);
  says(facts, "SIMD", /bits/);
  says(facts, "The engine says", /WASM with/);
  return facts.get("The engine says")!;
}

/** Everything but workers from blobs. */
const NO_WORKERS = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; " +
  "style-src 'self' 'unsafe-inline'; worker-src 'self'";

async function plain(site: Site): Promise<string> {
  const facts = await factsOf(await site.open({ isolated: false }));
  says(facts, "Threads", /^1 of \d+ cores?, and \d+ workers\..*Cross-Origin-Opener-Policy/);
  says(facts, "Isolation", /^Not isolated.*Cross-Origin-Embedder-Policy/);
  says(facts, "First result", /agree/);
  says(facts, "The engine says", /, \d+ workers with a memory of their own/);
  const headers = { "Content-Security-Policy": NO_WORKERS };
  const alone = await factsOf(await site.open({ isolated: false, headers }));
  says(alone, "Threads", /^1 of \d+ cores?\..*No workers either: .*Cross-Origin-Opener-Policy/);
  says(alone, "First result", /agree/);
  return facts.get("Threads")!;
}

async function withoutGpu(site: Site): Promise<string> {
  const before = `Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined });`;
  const facts = await factsOf(await site.open({ before }));
  says(facts, "GPU", /^None.*no WebGPU/);
  const none = `GPU.prototype.requestAdapter = () => Promise.resolve(null);`;
  const others = await factsOf(await site.open({ before: none }));
  says(others, "GPU", /^None.*no adapter/);
  return facts.get("GPU")!;
}

async function onGpu(site: Site): Promise<string> {
  const facts = await factsOf(await site.open({ query: "?gpu=software" }));
  says(facts, "GPU", /asks for it/);
  return facts.get("GPU")!;
}

/** A page whose engine cannot be made: it says so where it matters, in words, and the rest of it is there. */
async function refused(site: Site, visit: Visit, wanted: RegExp): Promise<string> {
  const page = await site.open(visit), box = page.locator("#machine .error-box");
  await box.waitFor({ timeout: PATIENCE });
  const text = await box.innerText();
  ok(wanted.test(text), `the panel says "${text}", wanted ${wanted}`);
  const facts = await factsOf(page);
  says(facts, "Isolation", /isolated/i);
  await page.getByRole("button", { name: "Start the race" }).click();
  const race = page.locator("#race .error-box");
  await race.waitFor({ timeout: PATIENCE });
  ok(wanted.test(await race.innerText()), `the race says "${await race.innerText()}"`);
  return text.replaceAll("\n", " ");
}

const POLICY = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
  "worker-src 'self' blob:";

/** What computes here. */
export const checks: readonly Check[] = [
  { name: "an isolated page", run: isolated },
  { name: "a page without headers", run: plain },
  { name: "no GPU", run: withoutGpu },
  { name: "a GPU in software, asked for", run: onGpu },
  {
    name: "a policy that forbids WebAssembly",
    run: (site) =>
      refused(site, { headers: { "Content-Security-Policy": POLICY } }, /wasm-unsafe-eval/),
  },
  {
    name: "WebAssembly without SIMD",
    run: (site) => refused(site, { before: "WebAssembly.validate = () => false;" }, /SIMD/),
  },
];
