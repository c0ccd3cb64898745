// The library in a browser: bundles each page, serves it with the headers that shared memory needs, opens it in headless
// Chromium on SwiftShader, and prints what the page sends. One line for each check; the last line is "browser: N checks
// passed".
//
//   deno task test:browser [PAGE.ts]     CHROMIUM=/path/to/chromium where it is neither on PATH nor in /usr/bin
import { fileURLToPath } from "node:url";
import { variable } from "../selection.ts";
import { deno, within } from "../consumers/process.ts";
import { type Browser, findBrowser, SOFTWARE_GPU, visit } from "./launch.ts";
import type { Check } from "./report.ts";

/** Pages, with the checks that each makes; one that is missing must not look like success. */
const PAGES: Readonly<Record<string, number>> = { "page.ts": 11, "tfjs_page.ts": 5 };
/** Time limit of a page, which mostly waits for SwiftShader to compile. */
const SECONDS = 240;

/** Where the WASM backend of TensorFlow.js has its files. */
const TFJS = new URL("./", import.meta.resolve("@tensorflow/tfjs-backend-wasm"));

/** A module that does not load says nothing by itself. */
const PAGE = `<!doctype html><meta charset="utf-8"><title>test</title>
<script>
const tell = async (text) => {
  const check = { name: "the script of the page", ok: false, text: String(text), seconds: 0 };
  await fetch("/check", { method: "POST", body: JSON.stringify(check) });
  await fetch("/done", { method: "POST" });
};
addEventListener("error", (event) => tell(event.message));
addEventListener("unhandledrejection", (event) => tell(event.reason));
</script>
<script type="module" src="/page.js" onerror="tell('page.js does not load')"></script>`;

const count = { passed: 0, failed: 0 };

function say(result: "ok" | "FAILED" | "skipped", name: string, text: string): void {
  console.log(`${result.padEnd(8)}${name}: ${text.trim().replaceAll("\n", "\n          ")}`);
}

function fail(name: string, text: string): void {
  count.failed++;
  say("FAILED", name, text);
}

async function bundle(page: string, folder: string): Promise<string> {
  const here = fileURLToPath(new URL(".", import.meta.url)), output = `${folder}/page.js`;
  const args = ["bundle", "--quiet", "--platform=browser", "--output", output, page];
  await deno(args, { cwd: here });
  return await Deno.readTextFile(output);
}

/** Serves the page; `done` resolves when the page says that it is. */
function serve(script: string): { url: string; done: Promise<void>; stop: () => Promise<void> } {
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const headers = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
  };
  const answer = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    const type = (name: string) => ({ headers: { ...headers, "Content-Type": name } });
    const file = /^\/tfjs\/([\w-]+\.wasm)$/.exec(pathname)?.[1];
    if (file) {
      return new Response(await Deno.readFile(new URL(file, TFJS)), type("application/wasm"));
    }
    switch (pathname) {
      case "/":
        return new Response(PAGE, type("text/html"));
      case "/page.js":
        return new Response(script, type("text/javascript"));
      case "/check": {
        const { name, ok, text, seconds } = await request.json() as Check;
        if (ok) {
          count.passed++;
          say("ok", name, `${text} (${seconds.toFixed(1)} s)`);
        } else fail(name, text);
        return new Response(null, { status: 204, headers });
      }
      case "/done":
        await request.body?.cancel();
        resolve();
        return new Response(null, { status: 204, headers });
      default:
        return new Response(null, { status: 404, headers });
    }
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    done,
    stop: () => server.shutdown(),
  };
}

async function test(browser: Browser, page: string): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "flashtile-browser-" });
  try {
    const { url, done, stop } = serve(await bundle(page, folder));
    try {
      await visit(browser, { url, folder, flags: SOFTWARE_GPU, done, seconds: SECONDS });
    } finally {
      await within(5, "the server", stop()).catch(() => {});
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const chromium = await findBrowser("chromium", variable("CHROMIUM"));
if (!chromium) {
  const text = "there is no Chromium, neither chromium nor google-chrome";
  if (variable("FLASHTILE_GPU") === "required") fail("browser", text);
  else say("skipped", "browser", text);
} else {
  console.log(chromium.version);
  for (const [page, checks] of Object.entries(PAGES)) {
    if (Deno.args.length > 0 && !Deno.args.includes(page)) continue;
    const before = count.passed + count.failed;
    try {
      await test(chromium, page);
      const ran = count.passed + count.failed - before;
      if (ran !== checks) fail(page, `${ran} checks ran, wanted ${checks}`);
    } catch (error) {
      fail(page, (error as Error).message);
    }
  }
}
if (count.failed > 0) console.log(`browser: ${count.passed} checks passed, ${count.failed} failed`);
else if (chromium) console.log(`browser: ${count.passed} checks passed`);
Deno.exit(count.failed > 0 ? 1 : 0);
