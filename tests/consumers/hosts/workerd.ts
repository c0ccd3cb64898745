// Cloudflare's workerd, started by miniflare: no compiling at run time, no threads, no file system.
import { ok } from "node:assert/strict";
import { Miniflare } from "miniflare";
import type { Mistake, Numbers } from "../apps/messages.ts";
import { checkNumbers, showError } from "../check.ts";
import { deno, within } from "../process.ts";
import type { Consumer } from "./consumer.ts";

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
    exports: Record<".", { import: string }>;
  };
  const main = manifest.exports["."].import.replace("./", `../${PACKAGE}/`);
  return modules.map((module) => ({
    ...module,
    contents: module.contents.replaceAll(`"@flashtile/attention"`, JSON.stringify(main)),
  }));
}

/** The build step of the app, and what it would upload: the worker's module first. */
async function buildWorker(root: string): Promise<(EsModule | WasmModule)[]> {
  await deno(["run", "--allow-write", "--no-prompt", "build_kernel.ts"], { cwd: root });
  const dist = await resolveNames(root, await modulesBelow(root, "dist"));
  const edge = dist.filter(({ path }) => path === "dist/edge.js");
  const others = dist.filter(({ path }) => /\/(job|inputs)\.js$/.test(path));
  const contents = await Deno.readFile(`${root}/kernel.wasm`);
  return [
    ...edge,
    ...others,
    ...await modulesBelow(root, PACKAGE),
    { type: "CompiledWasm", path: "dist/kernel.wasm", contents },
  ];
}

/** Calls without `wasmModule` must fail with the library's own error, and it must say what to pass. */
function checkRemedy(call: string, error: Mistake): void {
  ok(error.name === "UnsupportedError", `${call}: ${error.name} ${error.message}`);
  for (const part of ["createEngine({ wasmModule })", "@flashtile/attention/kernels"]) {
    ok(error.message.includes(part), `${call}: the error does not name ${part}: ${error.message}`);
  }
}

async function inWorkerd(root: string): Promise<string> {
  const modules = await buildWorker(root);
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    telemetry: { enabled: false },
    compatibilityDate: "2026-07-01",
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
    const worst = checkNumbers(await ask("/") as Numbers);
    for (const call of ["createEngine", "attention"]) {
      checkRemedy(call, await ask(`/${call}`) as Mistake);
    }
    return `${showError(worst)}, says what to pass without wasmModule`;
  } finally {
    await miniflare.dispose();
  }
}

/** The consumer that workerd runs. */
export function workerdConsumers(root: string): Consumer[] {
  const run = () => within(60, "miniflare", inWorkerd(root));
  return [{ name: "miniflare with wasmModule, packed", run }];
}
