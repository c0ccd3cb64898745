// Cloudflare's workerd, started by miniflare: no compiling at run time, no threads, no file system. Once with the
// modules as they are, once with what wrangler would upload.
import { deepEqual, ok } from "node:assert/strict";
import { Miniflare } from "miniflare";
import type { Mistake, TourReport } from "../apps/messages.ts";
import { checkTour } from "../check.ts";
import { here } from "../install.ts";
import { deno, run, within } from "../process.ts";
import { fetched, noNpm } from "../programs.ts";
import type { Consumer } from "./consumer.ts";
import { CURRENT } from "./node.ts";

/** Compatibility date of all workers. */
export const DATE = "2026-07-01";
const PACKAGE = "node_modules/@flashtile/attention";

interface EsModule {
  readonly type: "ESModule";
  readonly path: string;
  readonly contents: string;
}

interface WasmModule {
  readonly type: "CompiledWasm";
  readonly path: string;
  readonly contents: Uint8Array<ArrayBuffer>;
}

/** Every .js file below a folder of the installation, as modules. */
async function modulesBelow(root: string, folder: string): Promise<EsModule[]> {
  const modules: EsModule[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${root}/${folder}`)) {
    const path = `${folder}/${name}`;
    if (isDirectory) modules.push(...await modulesBelow(root, path));
    else if (name.endsWith(".js")) {
      modules.push({
        type: "ESModule",
        path,
        contents: await Deno.readTextFile(`${root}/${path}`),
      });
    }
  }
  return modules;
}

/** workerd knows no node_modules: names become paths, as a bundler would do it by package.json. */
async function resolveNames(root: string, modules: readonly EsModule[]): Promise<EsModule[]> {
  const manifest = JSON.parse(await Deno.readTextFile(`${root}/${PACKAGE}/package.json`)) as {
    name: string;
    exports: Record<string, { default: string }>;
  };
  const names = Object.entries(manifest.exports).map(([path, { default: target }]) =>
    [path.replace(".", manifest.name), target.replace("./", `../${PACKAGE}/`)] as const
  );
  const resolve = (text: string) =>
    names.reduce((text, [name, path]) => text.replaceAll(`"${name}"`, `"${path}"`), text);
  return modules.map((module) => ({ ...module, contents: resolve(module.contents) }));
}

/** Writes the kernels as a user can, where the file of the package does not do. */
export async function buildKernels(root: string): Promise<void> {
  await deno(["run", "--allow-write", "--no-prompt", "build_kernel.ts"], { cwd: root });
}

/** The file of the package is what the build step of a host that has none would write. */
async function checkFile(root: string): Promise<Uint8Array<ArrayBuffer>> {
  await buildKernels(root);
  const [contents, written] = await Promise.all(
    [`${PACKAGE}/flashtile.wasm`, "kernel_relaxed.wasm"].map((path) =>
      Deno.readFile(`${root}/${path}`)
    ),
  );
  deepEqual(contents, written);
  return contents!;
}

/** The modules as they are: the worker's first. */
async function modulesOf(root: string): Promise<Modules> {
  const dist = await resolveNames(root, await modulesBelow(root, "dist"));
  const edge = dist.filter(({ path }) => path === "dist/edge.js");
  const others = dist.filter(({ path }) => /\/(job|inputs|tour)\.js$/.test(path));
  const contents = await checkFile(root);
  return [
    ...edge,
    ...others,
    ...await modulesBelow(root, PACKAGE),
    { type: "CompiledWasm", path: `${PACKAGE}/flashtile.wasm`, contents },
  ];
}

/** What a worker is made of. */
export type Modules = (EsModule | WasmModule)[];

/** What `wrangler deploy` would upload of a folder, and what it says of the size. */
export async function upload(folder: string): Promise<{ modules: Modules; size: string }> {
  const wrangler = here("node_modules/wrangler/bin/wrangler.js");
  const env = { WRANGLER_SEND_METRICS: "false", CI: "1", WRANGLER_LOG_PATH: `${folder}/logs` };
  const args = [wrangler, "deploy", "--dry-run", "--minify", "--outdir", "upload"];
  const { stdout } = await run(await fetched(`node@${CURRENT}`), args, { cwd: folder, env });
  const modules: Modules = [];
  for await (const { name } of Deno.readDir(`${folder}/upload`)) {
    const path = `upload/${name}`, bytes = () => Deno.readFile(`${folder}/${path}`);
    if (name.endsWith(".wasm")) {
      modules.push({ type: "CompiledWasm", path, contents: await bytes() });
    } else if (name.endsWith(".js")) {
      const contents = new TextDecoder().decode(await bytes());
      modules.unshift({ type: "ESModule", path, contents });
    }
  }
  return { modules, size: /Total Upload: .*/.exec(stdout)?.[0] ?? "" };
}

/** Calls without `wasmModule` must fail with the library's own error, and it must say what to pass. */
export function checkRemedy(call: string, error: Mistake): void {
  ok(error.name === "UnsupportedError", `${call}: ${error.name} ${error.message}`);
  for (const part of ["createEngine({ wasmModule })", "@flashtile/attention/kernels"]) {
    ok(error.message.includes(part), `${call}: the error does not name ${part}: ${error.message}`);
  }
}

async function inWorkerd(modules: Modules): Promise<string> {
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    telemetry: { enabled: false },
    compatibilityDate: DATE,
    modulesRoot: "/",
    modules,
  });
  const ask = async (path: string): Promise<unknown> => {
    const response = await miniflare.dispatchFetch(`http://edge.test${path}`);
    const text = await response.text();
    ok(response.status === 200, `${path} answered ${response.status}: ${text.slice(0, 600)}`);
    return JSON.parse(text);
  };
  try {
    const text = checkTour(await ask("/") as TourReport, { threads: 1 });
    for (const call of ["createEngine", "attention"]) {
      checkRemedy(call, await ask(`/${call}`) as Mistake);
    }
    return `${text}; says what to pass without wasmModule`;
  } finally {
    await miniflare.dispose();
  }
}

/** The consumers that workerd runs. */
export async function workerdConsumers(root: string): Promise<Consumer[]> {
  const run = async (modules: Modules) => await within(60, "miniflare", inWorkerd(modules));
  return [
    {
      name: "miniflare with flashtile.wasm of the package, packed",
      run: async () => await run(await modulesOf(root)),
    },
    {
      name: "wrangler deploy --dry-run, run by miniflare, packed",
      skip: await noNpm(),
      run: async () => {
        const config = { name: "edge", main: "dist/edge.js", compatibility_date: DATE };
        await Deno.writeTextFile(`${root}/wrangler.json`, JSON.stringify(config));
        const { modules, size } = await upload(root);
        return `${await run(modules)}; ${size}`;
      },
    },
  ];
}
