/** The text that a model trains on where no file is named: longer where Debian's own texts are on the machine. */
import { loadText, readOwnPages } from "../byte_lm/load_text.ts";
import { splitText, type Text } from "../byte_lm/text.ts";

/** Every Debian has them, a quarter of a megabyte. */
const LICENCES = new URL("file:///usr/share/common-licenses/");

/** Reads one file, or this project's own pages behind Debian's licences where these are. */
export async function loadCorpus(
  file: string | undefined,
  context: number,
  licences: URL = LICENCES,
): Promise<Text> {
  if (file !== undefined) return await loadText(file, context);
  const found = await readFiles(licences), own = await readOwnPages();
  const name = found.length > 0 ? `${own.name} and ${found.length} licences of Debian` : own.name;
  const bytes = new Uint8Array(await new Blob([...found, own.bytes as BlobPart]).arrayBuffer());
  return splitText(name, bytes, context);
}

/** Files of a folder in the order of their names, links left out; none where there is no such folder, or it may not be read. */
async function readFiles(folder: URL): Promise<Uint8Array<ArrayBuffer>[]> {
  const names: string[] = [];
  try {
    for await (const { name, isFile } of Deno.readDir(folder)) if (isFile) names.push(name);
  } catch (error) {
    const { NotFound, NotCapable } = Deno.errors;
    if (!(error instanceof NotFound || error instanceof NotCapable)) throw error;
  }
  return await Promise.all(names.sort().map((name) => Deno.readFile(new URL(name, folder))));
}
