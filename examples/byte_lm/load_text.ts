/** Reads the text that a model trains on from files. Apart from text.ts, which runs in pages too. */
import { splitText, type Text } from "./text.ts";

/** Reads one file, or this project's own pages when no file is named. */
export async function loadText(
  file: string | undefined,
  context: number,
): Promise<Text> {
  const { name, bytes } = file === undefined ? await readOwnPages() : await readOneFile(file);
  return splitText(name, bytes, context);
}

async function readOneFile(
  file: string,
): Promise<{ name: string; bytes: Uint8Array }> {
  try {
    return { name: file, bytes: await Deno.readFile(file) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new Error(`Cannot read ${file}: there is no such file`);
    }
    throw new Error(
      `Cannot read ${file}: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** README, CHANGELOG, CONTRIBUTING and everything under docs/, in a fixed order. */
export async function readOwnPages(): Promise<
  { name: string; bytes: Uint8Array }
> {
  const root = new URL("../../", import.meta.url);
  const pages = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map((page) => new URL(page, root));
  pages.push(...await markdownUnder(new URL("docs/", root)));
  const found: Uint8Array[] = [];
  for (const page of pages) {
    const bytes = await Deno.readFile(page).catch(() => undefined); // a page may not exist yet
    if (bytes) found.push(bytes);
  }
  const bytes = new Uint8Array(
    found.reduce((sum, page) => sum + page.length, 0),
  );
  let at = 0;
  for (const page of found) {
    bytes.set(page, at);
    at += page.length;
  }
  return { name: `this project's own ${found.length} pages`, bytes };
}

async function markdownUnder(folder: URL): Promise<URL[]> {
  const found: URL[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.isDirectory) {
        found.push(...await markdownUnder(new URL(`${entry.name}/`, folder)));
      } else if (entry.name.endsWith(".md")) {
        found.push(new URL(entry.name, folder));
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort((a, b) => a.href < b.href ? -1 : 1);
}
