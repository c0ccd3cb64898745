/**
 * What a page downloads: the default entry bundled, minified and compressed, whole and without the
 * code for GPUs, which a bundler that splits code leaves for later.
 * @module
 */

import { readdir, readFile, rm } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import type { Context } from "../context.ts";
import type { Measured } from "../goals.ts";
import { printTable } from "../measure/table.ts";

const ENTRY = new URL("../../mod.ts", import.meta.url).pathname;

export async function packageSection(context: Context): Promise<Measured[]> {
  const folder = await Deno.makeTempDir({ prefix: "flashtile-package-" });
  try {
    await bundle("--output", `${folder}/whole.js`);
    await bundle("--code-splitting", "--outdir", `${folder}/split`);
    const whole = await compressed(`${folder}/whole.js`);
    const split = `${folder}/split`, first = await atOnce(split, "mod.js");
    const cpu = (await Promise.all(first.map((name) => compressed(`${split}/${name}`))))
      .reduce((a, b) => a + b, 0);
    printTable("Package, minified, gzip -9", ["part", "KB"], [
      ["everything", (whole / 1000).toFixed(1)],
      ["without the code for GPUs", (cpu / 1000).toFixed(1)],
    ]);
    context.results.add("package", { wholeBytes: whole, cpuBytes: cpu });
    return [{ id: "wasm package", values: [{ of: "mod.ts", value: whole / 1000 }] }];
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function bundle(...target: string[]): Promise<void> {
  const args = ["bundle", "--quiet", "--minify", "--platform", "browser", ...target, ENTRY];
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  if (code !== 0) throw new Error(`deno bundle failed: ${new TextDecoder().decode(stderr)}`);
}

async function compressed(path: string): Promise<number> {
  return gzipSync(await readFile(path), { level: 9 }).length;
}

/** The files that load together with `entry`: those that it imports, directly or not, not by import(). */
async function atOnce(folder: string, entry: string): Promise<string[]> {
  const names = new Set(await readdir(folder)), found = new Set([entry]);
  for (const name of found) {
    const text = await readFile(`${folder}/${name}`, "utf8");
    for (const [, other] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g)) {
      if (names.has(other)) found.add(other);
    }
  }
  return [...found];
}
