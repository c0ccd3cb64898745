/**
 * What a page downloads: the default entry bundled, minified and compressed, whole and without the
 * code for GPUs, which a bundler that splits code leaves for later; the entry of the CPU alone, whole
 * and as an application that imports `attention`; and those of the ONNX operator and of the gradient
 * checker.
 * @module
 */

import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { printTable } from "../measure/table.ts";

const pathOf = (entry: string) => new URL(`../../${entry}`, import.meta.url).pathname;
const [WHOLE, CPU] = [pathOf("mod.ts"), pathOf("src/wasm.ts")];
const [ONNX, CHECK] = [pathOf("src/onnx.ts"), pathOf("src/check.ts")];

export async function packageSection(context: Context): Promise<Measured[]> {
  const folder = await Deno.makeTempDir({ prefix: "flashtile-package-" });
  try {
    await bundle("--output", `${folder}/whole.js`, WHOLE);
    await bundle("--output", `${folder}/wasm.js`, CPU);
    writeFileSync(`${folder}/one.ts`, `export { attention } from "file://${CPU}";\n`);
    await bundle("--output", `${folder}/one.js`, `${folder}/one.ts`);
    await bundle("--output", `${folder}/onnx.js`, ONNX);
    await bundle("--output", `${folder}/check.js`, CHECK);
    await bundle("--code-splitting", "--outdir", `${folder}/split`, WHOLE);
    const [whole, wasm] = [compressed(`${folder}/whole.js`), compressed(`${folder}/wasm.js`)];
    const split = `${folder}/split`, onnx = compressed(`${folder}/onnx.js`);
    const check = compressed(`${folder}/check.js`), one = compressed(`${folder}/one.js`);
    const cpu = atOnce(split, "mod.js")
      .reduce((sum, name) => sum + compressed(`${split}/${name}`), 0);
    printTable("Package, minified, gzip -9", ["part", "KB"], [
      ["everything", (whole / 1000).toFixed(1)],
      ["without the code for GPUs", (cpu / 1000).toFixed(1)],
      ["@flashtile/attention/wasm", (wasm / 1000).toFixed(1)],
      ["attention of it, alone", (one / 1000).toFixed(1)],
      ["@flashtile/attention/onnx", (onnx / 1000).toFixed(1)],
      ["@flashtile/attention/check", (check / 1000).toFixed(1)],
    ]);
    context.results.add("package", {
      wholeBytes: whole,
      cpuBytes: cpu,
      wasmBytes: wasm,
      attentionBytes: one,
      onnxBytes: onnx,
      checkBytes: check,
    });
    return [{ id: "wasm package", values: [{ of: "mod.ts", value: whole / 1000 }] }];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Bundles, minified. */
export async function bundle(...target: string[]): Promise<void> {
  const args = ["bundle", "--quiet", "--minify", "--platform", "browser", ...target];
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  if (code !== 0) throw new Error(`deno bundle failed: ${new TextDecoder().decode(stderr)}`);
}

function compressed(path: string): number {
  return gzipSync(readFileSync(path), { level: 9 }).length;
}

/** The files that load together with `entry`: those that it imports, directly or not, not by import(). */
function atOnce(folder: string, entry: string): string[] {
  const names = new Set(readdirSync(folder)), found = new Set([entry]);
  for (const name of found) {
    const text = readFileSync(`${folder}/${name}`, "utf8");
    for (const [, other] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g)) {
      if (names.has(other!)) found.add(other!);
    }
  }
  return [...found];
}
