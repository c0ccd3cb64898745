// A built page, served and opened in Chromium as checks ask for it.
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { answer, ISOLATION } from "../../tools/page/files.ts";
import { CHROMIUM_FLAGS, SOFTWARE_GPU } from "../browser/launch.ts";

/** How a page is opened. */
export interface Visit {
  /** Whether the server sends the headers that threads need; default true. */
  readonly isolated?: boolean;
  /** More headers. */
  readonly headers?: Readonly<Record<string, string>>;
  /** What stands behind the address: "?gpu=software". */
  readonly query?: string;
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  readonly reducedMotion?: boolean;
  /** JavaScript that runs before the page's. */
  readonly before?: string;
  /** Paths that the server does not have. */
  readonly missing?: RegExp;
}

/** A check: what it found in a few words, or an error. */
export interface Check {
  readonly name: string;
  readonly run: (site: Site) => Promise<string>;
}

/** Throws unless a condition holds. */
export function ok(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/** The page as one check sees it: what it opens is closed after it, and what went wrong unseen fails it. */
export class Site {
  /** Where the build is. */
  readonly folder: string;
  readonly #browser: Browser;
  readonly #contexts: BrowserContext[] = [];
  readonly #servers: Deno.HttpServer[] = [];
  readonly #faults: string[] = [];

  constructor(folder: string, browser: Browser) {
    this.folder = folder;
    this.#browser = browser;
  }

  #serve({ isolated = true, headers, missing }: Visit): string {
    const all = { ...(isolated ? ISOLATION : {}), ...headers };
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
      const { pathname } = new URL(request.url);
      if (missing?.test(pathname)) return new Response(null, { status: 404, headers: all });
      return answer(this.folder, request, all);
    });
    this.#servers.push(server);
    return `http://127.0.0.1:${server.addr.port}`;
  }

  /** Opens the page and waits until its panels are there. */
  async open(visit: Visit = {}): Promise<Page> {
    const { query = "", width = 1280, height = 900, dark, reducedMotion, before } = visit;
    const origin = this.#serve(visit);
    const context = await this.#browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? "dark" : "light",
      reducedMotion: reducedMotion ? "reduce" : "no-preference",
      acceptDownloads: true,
    });
    this.#contexts.push(context);
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    page.on("pageerror", (error) => this.#faults.push(`uncaught: ${error.message}`));
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(origin) && !/^(data|blob):/.test(url)) {
        this.#faults.push(`the page asked another host: ${url}`);
      }
    });
    if (before) await page.addInitScript({ content: before });
    await page.goto(`${origin}/${query}`);
    await page.locator("html[data-ready]").waitFor();
    return page;
  }

  /** Closes what was opened; throws what went wrong unseen. */
  async close(): Promise<void> {
    for (const context of this.#contexts.splice(0)) await context.close();
    for (const server of this.#servers.splice(0)) await server.shutdown();
    const faults = this.#faults.splice(0);
    ok(faults.length === 0, faults.join("\n"));
  }
}

/** Where a program of the PATH lies: Playwright wants to know. */
async function whereIs(program: string): Promise<string> {
  if (program.includes("/")) return program;
  for (const folder of (Deno.env.get("PATH") ?? "").split(":")) {
    const path = `${folder}/${program}`;
    if (await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return path;
  }
  return program;
}

/** Chromium, for all checks. */
export async function launch(program: string): Promise<Browser> {
  const executablePath = await whereIs(program);
  return await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS, ...SOFTWARE_GPU] });
}

/** Milliseconds that something in the page may take before it counts as broken; SwiftShader compiles for seconds. */
export const PATIENCE = 60_000;
