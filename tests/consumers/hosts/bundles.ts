// What bundlers make of apps/page.ts and its worker, each in a folder of its own.
import { here } from "../install.ts";
import { run } from "../process.ts";

export type Bundler = "esbuild" | "vite" | "webpack";

const HTML = `<!doctype html><meta charset="utf-8"><title>test</title>
<script type="module" src="./page.js"></script>
`;

async function esbuild(cwd: string, folder: string): Promise<void> {
  const flags = ["--bundle", "--splitting", "--format=esm", "--minify", `--outdir=${folder}`];
  const entries = ["dist/page.js", "dist/page_worker.js"];
  await run("node", [here("node_modules/esbuild/bin/esbuild"), ...entries, ...flags], { cwd });
  await Deno.writeTextFile(`${folder}/index.html`, HTML);
}

async function webpack(cwd: string, folder: string): Promise<void> {
  const args = [here("node_modules/webpack"), "dist/page.js", folder];
  await run("node", ["bundle_webpack.mjs", ...args], { cwd });
  await Deno.writeTextFile(`${folder}/index.html`, HTML);
}

async function vite(cwd: string, folder: string): Promise<void> {
  await Deno.writeTextFile(`${cwd}/index.html`, HTML.replace("./page.js", "/dist/page.js"));
  const flags = ["--base=./", `--outDir=${folder}`, "--emptyOutDir", "--logLevel=warn"];
  await run("node", [here("node_modules/vite/bin/vite.js"), "build", ...flags], { cwd });
}

const BUNDLERS = { esbuild, vite, webpack };

const made = new Map<Bundler, Promise<void>>();

/** Bundles into `FOLDER/NAME`, once for all browsers. */
export function bundled(name: Bundler, cwd: string, folder: string): Promise<void> {
  const task = made.get(name) ?? BUNDLERS[name](cwd, `${folder}/${name}`);
  made.set(name, task);
  return task;
}
