/** Opens a model and its tokenizer, whichever of the known kinds of file it is. */
import { type ByteSource, openFile, readBytes } from "./byte_source.ts";
import { readGguf } from "./gguf.ts";
import { readLlama2c } from "./llama2c.ts";
import { looksLikeSafetensors, readSafetensors } from "./safetensors.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { readTokenizer } from "./tokenizer_file.ts";
import type { Model } from "./weights.ts";

/** How other files begin that end up in the place of a model. */
const STRANGERS: readonly (readonly [start: string, what: string])[] = [
  ["PK", "a zip archive, perhaps a PyTorch checkpoint: export it as described in llama2.c"],
  ["\x80\x02", "a Python pickle, perhaps a PyTorch checkpoint"],
  ["version https://git-lfs", "a pointer of Git LFS: fetch the file that it stands for"],
  ["<!DOCTYPE", "a web page: the download went wrong"],
  ["<html", "a web page: the download went wrong"],
  ["\x1f\x8b", "compressed by gzip: unpack it first"],
  ["ggml", "of a format before GGUF"],
  ["lmgg", "of a format before GGUF"],
  ["tjgg", "of a format before GGUF"],
];

/** Reads a model, and its tokenizer from `tokenizerFile`, the model's file or beside it. */
export async function openModel(
  path: string,
  tokenizerFile?: string,
): Promise<{ model: Model; tokenizer: Tokenizer }> {
  using source = await openFile(path);
  const start = await readStart(source);
  const stranger = strangerOf(start);
  if (stranger) throw new RangeError(`Cannot read ${path}: it is ${stranger}`);
  const { model, tokenizer } = await readModel(source, start);
  if (tokenizer && tokenizerFile === undefined) return { model, tokenizer };
  using file = await openTokenizer(path, model.shape.vocabulary, tokenizerFile);
  return { model, tokenizer: await readTokenizer(file, model.shape.vocabulary) };
}

/** What a file is, by its first bytes, if it is one of the well-known kinds that are no model. */
export function strangerOf(start: Uint8Array): string | undefined {
  const text = String.fromCharCode(...start.subarray(0, 32));
  return STRANGERS.find(([beginning]) => text.startsWith(beginning))?.[1];
}

async function readStart(source: ByteSource): Promise<Uint8Array> {
  const start = await readBytes(source, 0, Math.min(32, source.size));
  if (start.length < 32) {
    throw new RangeError(`Cannot read ${source.name}: a file of ${source.size} bytes is no model`);
  }
  return start;
}

async function readModel(
  source: ByteSource,
  start: Uint8Array,
): Promise<{ model: Model; tokenizer?: Tokenizer | undefined }> {
  if (String.fromCharCode(...start.subarray(0, 4)) === "GGUF") return await readGguf(source);
  if (!looksLikeSafetensors(start)) return { model: await readLlama2c(source) };
  const config = beside(source.name, "config.json");
  const text = await Deno.readTextFile(config).catch(() => {
    throw new Error(`Cannot read ${source.name}: the sizes of the model are in ${config}, missing`);
  });
  return { model: await readSafetensors(source, text) };
}

/** Opens the tokenizer that was asked for, or the first that lies beside the model. */
async function openTokenizer(
  model: string,
  vocabulary: number,
  asked: string | undefined,
): Promise<ByteSource> {
  if (asked !== undefined) return await openFile(asked);
  const names = [`tok${vocabulary}.bin`, "tokenizer.bin", "tokenizer.json"];
  for (const name of names) {
    const path = beside(model, name);
    if (await Deno.stat(path).catch(() => undefined)) return await openFile(path);
  }
  throw new Error(
    `Cannot find the tokenizer of ${model}: no ${names.join(", ")} beside it; ` +
      `name one with --tokenizer`,
  );
}

function beside(path: string, name: string): string {
  return `${path.replace(/[^/\\]*$/, "")}${name}`;
}
