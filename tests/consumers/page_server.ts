// Serves pages to a browser one after the other. A page that is done asks for /next, and is sent to another as soon as
// there is one: so a browser starts once for all of them.
import { within } from "./process.ts";

/** The headers of a page and of all that it loads. */
export type Mode = "plain" | "isolated" | "strict" | "no blob" | "no eval" | "no trusted types";

const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** The strictest policy with which everything works; /report is where `connect-src` is for. */
const POLICY = {
  "default-src": "'none'",
  "script-src": "'self' 'wasm-unsafe-eval'",
  "worker-src": "blob:",
  "connect-src": "'self'",
  "base-uri": "'none'",
  "form-action": "'none'",
  "frame-ancestors": "'none'",
  "require-trusted-types-for": "'script'",
  "trusted-types": "flashtile",
};

function policy(changes: Partial<Record<keyof typeof POLICY, string>> = {}) {
  const text = Object.entries({ ...POLICY, ...changes }).map((words) => words.join(" "));
  return { ...ISOLATION, "Content-Security-Policy": text.join("; ") };
}

const HEADERS: Readonly<Record<Mode, Record<string, string>>> = {
  plain: {},
  isolated: ISOLATION,
  strict: policy(),
  "no blob": policy({ "worker-src": "'none'" }),
  "no eval": policy({ "script-src": "'self'" }),
  "no trusted types": policy({ "trusted-types": "'none'" }),
};

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript",
  wasm: "application/wasm",
};

/** A page to visit. */
export interface Page {
  readonly mode: Mode;
  /** The folder of a bundler's output, and what stands behind the page's name: "?worker" or nothing. */
  readonly bundle: string;
  readonly query: "" | "?worker";
}

/** What a page sent. */
export type Heard = Record<string, unknown>;

/** The pages of one browser. */
export class PageServer {
  readonly #root: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  /** The page that is wanted and was not sent to a browser yet. */
  #page: Page | undefined;
  #hear: (heard: Heard) => void = () => {};
  /** Lets a browser that asked for /next go there. */
  #go: (() => void) | undefined;

  /** Serves folders of `root`, each what a bundler made of the page. */
  constructor(root: string) {
    this.#root = root;
    const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
    this.#server = Deno.serve(options, (request) => this.#answer(request));
  }

  /** Where a browser begins. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/next`;
  }

  /** What a page sends, once a browser was there. One at a time. */
  ask(page: Page): Promise<Heard> {
    this.#page = page;
    this.#go?.();
    return new Promise((resolve) => this.#hear = resolve);
  }

  async stop(): Promise<void> {
    await within(5, "the server", this.#server.shutdown()).catch(() => {});
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/report") {
      this.#hear(await request.json());
      return new Response(null, { status: 204 });
    }
    if (pathname === "/next") return await this.#next();
    return await this.#file(pathname);
  }

  async #next(): Promise<Response> {
    if (!this.#page) await new Promise<void>((resolve) => this.#go = resolve);
    const { mode, bundle, query } = this.#page!;
    this.#page = this.#go = undefined;
    const location = `/${encodeURIComponent(mode)}/${bundle}/${query}`;
    return new Response(null, { status: 303, headers: { Location: location } });
  }

  async #file(pathname: string): Promise<Response> {
    const [, mode = "", bundle, ...rest] = decodeURIComponent(pathname).split("/");
    const name = rest.join("/") || "index.html";
    const headers = HEADERS[mode as Mode];
    if (!headers || !bundle || !/^[\w./-]+$/.test(name) || name.includes("..")) {
      return new Response(null, { status: 404 });
    }
    try {
      const type = TYPES[name.replace(/.*\./, "")] ?? "application/octet-stream";
      const bytes = await Deno.readFile(`${this.#root}/${bundle}/${name}`);
      return new Response(bytes, { headers: { ...headers, "Content-Type": type } });
    } catch {
      return new Response(null, { status: 404, headers });
    }
  }
}
