// Files that are there whole or not at all: written under another name in the same folder, flushed, and renamed.
import { open, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { FileError, UsageError } from "../exit.ts";
import { systemReason } from "./byte_file.ts";

/** Most bytes of one write. */
const PIECE = 2 ** 26;

function failed(path: string, error: unknown): FileError {
  return new FileError(`Cannot write ${path}: ${systemReason(error)}`);
}

/** Throws now what would be thrown after the work: no folder, no permission, a file that is there already. */
export async function checkWritable(path: string, overwrite: boolean): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (there?.isDirectory()) throw failed(path, { code: "EISDIR" });
  if (there && !overwrite) {
    throw new UsageError(
      `Cannot write ${path}: it is there already, pass --overwrite to replace it`,
    );
  }
  // asking for permissions needs one in Deno, and says less than trying
  const temporary = temporaryName(path);
  try {
    await (await open(temporary, "w")).close();
    await unlink(temporary);
  } catch (error) {
    const { code } = error as { code?: string };
    throw failed(path, code === "ENOENT" ? new Error("its folder is not there") : error);
  }
}

/** What a file is called until it is whole. One that a killed process left behind can be deleted. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
}

/** Writes a file. */
export async function writeWhole(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const temporary = temporaryName(path);
  try {
    const file = await open(temporary, "w");
    try {
      for (const part of parts) {
        for (let at = 0; at < part.length;) {
          const { bytesWritten } = await file.write(part, at, Math.min(PIECE, part.length - at));
          at += bytesWritten;
        }
      }
      await file.sync(); // before the name says that it is whole
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw failed(path, error);
  }
  await flushFolder(dirname(path));
}

/** The new name itself; some systems have no such thing. */
async function flushFolder(path: string): Promise<void> {
  try {
    const folder = await open(path);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch { /* Windows opens no folders */ }
}
