// How much a reader's browser loads before anything is asked of the page.
import { posix } from "node:path";
import { gzipSync } from "node:zlib";
import { filesIn } from "./bundle.ts";

/** A file of a build. */
export interface Size {
  readonly path: string;
  readonly bytes: number;
  /** As a host would send it. */
  readonly gzipBytes: number;
  /** Whether the first load has it. */
  readonly first: boolean;
}

/** Of the first load whatever the page does: what index.html and style.css name. */
const NAMED = ["index.html", "style.css", "theme.js", "main.js", "icon.svg"];

/** The modules that a module imports at once, not those that it may load later. */
function importsOf(path: string, text: string): string[] {
  const statement = /(?:\bfrom|\bimport)\s*"(\.{1,2}\/[^"]+\.js)"/g;
  return [...text.matchAll(statement)].map(([, to]) => posix.join(posix.dirname(path), to!));
}

/** The sizes of all files of a build. */
export async function sizesOf(folder: string): Promise<Size[]> {
  const paths = await filesIn(folder);
  const first = new Set([...NAMED, ...paths.filter((path) => path.endsWith(".woff2"))]);
  for (const path of first) {
    if (!path.endsWith(".js")) continue;
    const text = await Deno.readTextFile(`${folder}/${path}`);
    for (const imported of importsOf(path, text)) first.add(imported);
  }
  return await Promise.all(paths.map(async (path) => {
    const data = await Deno.readFile(`${folder}/${path}`);
    const packed = /\.(woff2|png)$/.test(path);
    const gzipBytes = packed ? data.length : gzipSync(data).length;
    return { path, bytes: data.length, gzipBytes, first: first.has(path) };
  }));
}

/** Bytes of the first load, compressed. */
export function firstLoad(sizes: readonly Size[]): number {
  return sizes.reduce((sum, { first, gzipBytes }) => first ? sum + gzipBytes : sum, 0);
}

const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`.padStart(12);

/** Prints them. */
export function printSizes(sizes: readonly Size[]): void {
  const print = (title: string, some: readonly Size[]) => {
    console.log(`${title.padEnd(44)}${"size".padStart(12)}${"compressed".padStart(12)}`);
    for (const { path, bytes, gzipBytes } of some) {
      console.log(`  ${path.padEnd(42)}${kib(bytes)}${kib(gzipBytes)}`);
    }
  };
  print("first load", sizes.filter(({ first }) => first));
  print("when it is needed", sizes.filter(({ first }) => !first));
  const all = sizes.reduce((sum, { gzipBytes }) => sum + gzipBytes, 0);
  console.log(`first load ${kib(firstLoad(sizes)).trim()}, everything ${kib(all).trim()}`);
}
