/** Pages and comments as text, and the code beside them as words: what docs_test.ts compares. */

import { existsSync } from "node:fs";

const root = new URL("../../", import.meta.url);
const FOLDERS = ["src", "asm", "shaders", "tools", "tests", "docs", "examples", "bench", ".github"];

/** A page, or the comments of a file of code. */
export interface Prose {
  readonly file: string;
  /** All of it. */
  readonly whole: string;
  /** Without what stands in fences: that runs, or is for the reader's own folder. */
  readonly text: string;
}

export function read(file: string): string {
  return Deno.readTextFileSync(new URL(file, root));
}

/** Whether the repository has a file or folder of this path. */
export function exists(path: string): boolean {
  return existsSync(new URL(path, root));
}

function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(new URL(`${folder}/`, root))].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return name === "node_modules" ? [] : filesUnder(`${folder}/${name}`);
    return /\.(ts|md)$/.test(name) ? [`${folder}/${name}`] : [];
  });
}

const top = [...Deno.readDirSync(root)].map(({ name }) => name);

/** Every page and every file of code, with its path. */
export const FILES: readonly string[] = [
  ...top.filter((name) => /\.(ts|md)$/.test(name)),
  ...FOLDERS.filter(exists).flatMap(filesUnder),
];

const COMMENT = /\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm;
const FENCE = /^```[\s\S]*?^```$/gm;

/** Pages and comments. Generated files are made by what is read anyway. */
export const PROSE: readonly Prose[] = FILES.filter((file) => !file.endsWith(".gen.ts"))
  .map((file) => {
    const text = read(file);
    if (file.endsWith(".md")) return { file, whole: text, text: text.replaceAll(FENCE, "") };
    const comments = [...text.matchAll(COMMENT)].map(([comment]) => comment);
    // a comment that goes on in the next line is one text
    const joined = comments.join("\n").replaceAll(/\n\s*(?:\/\/|\*(?!\/)) ?/g, "\n");
    return { file, whole: joined, text: joined.replaceAll(FENCE, "") };
  });

/** Code without its comments. */
export function code(file: string): string {
  return read(file).replaceAll(COMMENT, "");
}

/** Every word of the code; not of the test that asks, which lists the names of others. */
export function codeWords(): Set<string> {
  const own = /tests\/internals\/(docs_test|prose)\.ts$/;
  const texts = FILES.filter((file) => file.endsWith(".ts") && !own.test(file)).map(code);
  texts.push(read("deno.json"), read(".ci/run"));
  return new Set(texts.flatMap((text) => text.match(/[A-Za-z_]\w*/g) ?? []));
}

/** What stands in single backticks. */
export function quoted(text: string): string[] {
  return [...text.matchAll(/(?<!`)`([^`]+)`(?!`)/g)].map(([, span]) => span!);
}
