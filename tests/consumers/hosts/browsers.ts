// Pages in browsers without a window: bundlers, a page and a module worker, with and without isolation, and under
// policies.
import { ok } from "node:assert/strict";
import { type Browser, findBrowser, visit } from "../../browser/launch.ts";
import type { Mistake, TourReport } from "../apps/messages.ts";
import { checkTour, type Wanted } from "../check.ts";
import { type Heard, type Mode, type Page, PageServer } from "../page_server.ts";
import { within } from "../process.ts";
import { bundled, type Bundler } from "./bundles.ts";
import type { Consumer } from "./consumer.ts";

/** Seconds for which one page may keep a browser; the first has to wait for its start. */
const SECONDS = 45;
/** Seconds for which a browser may run. */
const LIFE = 600;

interface Case {
  readonly mode: Mode;
  readonly bundler: Bundler;
  readonly worker?: boolean;
  /** An `UnsupportedError` that names this, in place of numbers. */
  readonly error?: string;
  readonly wanted?: Wanted;
}

const ALONE = { threads: 1, remedy: "Cross-Origin-Opener-Policy: same-origin", workers: 2 };

const CASES: readonly Case[] = [
  { bundler: "esbuild", mode: "isolated", wanted: { threads: 2 } },
  { bundler: "esbuild", mode: "isolated", worker: true, wanted: { threads: 2 } },
  { bundler: "esbuild", mode: "plain", wanted: ALONE },
  { bundler: "esbuild", mode: "plain", worker: true, wanted: ALONE },
  { bundler: "esbuild", mode: "strict", wanted: { threads: 2 } },
  {
    bundler: "esbuild",
    mode: "no blob",
    wanted: { threads: 1, remedy: "add blob: to its worker-src", workers: 0 },
  },
  {
    bundler: "esbuild",
    mode: "no trusted types",
    wanted: {
      threads: 1,
      remedy: "Content-Security-Policy: trusted-types flashtile",
      workers: 0,
    },
  },
  { bundler: "esbuild", mode: "no eval", error: "'wasm-unsafe-eval'" },
  { bundler: "vite", mode: "isolated", wanted: { threads: 2 } },
  { bundler: "vite", mode: "isolated", worker: true, wanted: { threads: 2 } },
  { bundler: "webpack", mode: "isolated", wanted: { threads: 2 } },
  { bundler: "webpack", mode: "isolated", worker: true, wanted: { threads: 2 } },
];

function check(heard: Heard, { error, wanted }: Case): string {
  const { report, failure } = heard as { report?: TourReport; failure: Mistake };
  if (error !== undefined) {
    ok(failure.name === "UnsupportedError", `${failure.name}: ${failure.message}`);
    ok(failure.message.includes(error), `it does not name ${error}: ${failure.message}`);
    return failure.message;
  }
  ok(report !== undefined, `${failure.name}: ${failure.message}`);
  return checkTour(report, wanted);
}

/** A browser that goes from page to page. It starts with the first, and again behind one that failed. */
class Session {
  readonly #browser: Browser;
  readonly #folder: string;
  readonly #server: PageServer;
  #end: (() => void) | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(browser: Browser, root: string, folder: string) {
    this.#browser = browser;
    this.#folder = folder;
    this.#server = new PageServer(root);
  }

  async ask(page: Page): Promise<Heard> {
    const heard = this.#server.ask(page);
    if (!this.#end) this.#start();
    const gone = this.#ended.then(() => Promise.reject(new Error("the browser ended")));
    gone.catch(() => {});
    try {
      return await within(SECONDS, "the page", Promise.race([heard, gone]));
    } catch (error) {
      await this.#quit();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#quit();
    await this.#server.stop();
  }

  #start(): void {
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const { url } = this.#server;
    this.#end = resolve;
    this.#ended = visit(this.#browser, { url, folder: this.#folder, done, seconds: LIFE });
    this.#ended.catch(() => {});
  }

  async #quit(): Promise<void> {
    this.#end?.();
    this.#end = undefined;
    await this.#ended.catch(() => {});
  }
}

function consumersOf(browser: Browser, cwd: string): Consumers {
  const root = `${cwd}/bundles`, session = new Session(browser, root, cwd);
  const label = /^\D*[\d.]+/.exec(browser.version)?.[0] ?? browser.name;
  const consumers = CASES.map((one) => {
    const { bundler, mode, worker = false } = one;
    const page: Page = { mode, bundle: bundler, query: worker ? "?worker" : "" };
    const run = async () => {
      await bundled(bundler, cwd, root);
      return check(await session.ask(page), one);
    };
    const place = worker ? "module worker" : "page";
    return { name: `${label}, ${bundler}, ${place}, ${mode}, packed`, run };
  });
  return { consumers, close: () => session.close() };
}

/** Consumers, and what ends what they share. */
interface Consumers {
  readonly consumers: readonly Consumer[];
  readonly close: () => Promise<void>;
}

/** The consumers of a browser; without it they are skipped, or fail where it is required. */
export async function browserConsumers(
  cwd: string,
  name: Browser["name"],
  required: boolean,
): Promise<Consumers> {
  const browser = await findBrowser(name);
  if (browser) return consumersOf(browser, cwd);
  const missing = `there is no ${name}`;
  const run = () => Promise.reject(new Error(missing));
  const consumer = { name: `${name}, packed`, run, skip: required ? undefined : missing };
  return { consumers: [consumer], close: () => Promise.resolve() };
}
