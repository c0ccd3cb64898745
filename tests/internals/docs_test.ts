/** Paths that pages and comments name exist. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";

const root = new URL("../../", import.meta.url);
const FOLDERS = ["src", "asm", "shaders", "tools", "tests", "docs", "examples", "bench"];
const PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];
/** Files of an example in prose, which are not there. */
const IMAGINED = /(^|\/)cubic\.ts$/;

function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(new URL(`${folder}/`, root))].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return name === "node_modules" ? [] : filesUnder(`${folder}/${name}`);
    return /\.(ts|md)$/.test(name) ? [`${folder}/${name}`] : [];
  });
}

/** Pages whole, and the comments of code. */
function prose(file: string): string {
  const text = Deno.readTextFileSync(new URL(file, root));
  if (file.endsWith(".md")) return text;
  return [...text.matchAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm)].map(([comment]) => comment).join("\n");
}

Deno.test("every path that a page or a comment names is there", () => {
  const files = [...PAGES, ...FOLDERS.flatMap(filesUnder)]
    .filter((file) => !file.endsWith(".gen.ts"));
  const named = new RegExp(`(?<![\\w/.-])(?:${FOLDERS.join("|")})/[\\w/.-]*\\.(?:ts|md)\\b`, "g");
  const missing = files.flatMap((file) =>
    [...prose(file).matchAll(named)].map(([path]) => path)
      .filter((path) => !IMAGINED.test(path) && !existsSync(new URL(path, root)))
      .map((path) => `${file} names ${path}`)
  );
  assert.deepEqual([...new Set(missing)], []);
});
