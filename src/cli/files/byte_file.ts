// A file that is read in pieces.
import { type FileHandle, open, stat } from "node:fs/promises";
import { FileError } from "../exit.ts";

/** Most bytes of one read: more than 2 GiB at once are refused. */
const PIECE = 2 ** 26;

/** What the system says, in words. */
export function systemReason(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  switch (code) {
    case "ENOENT":
      return "there is no such file";
    case "ENOTDIR":
      return "a part of its path is no folder";
    case "EACCES":
    case "EPERM":
      return "permission is denied";
    case "EISDIR":
      return "it is a folder";
    case "ENOSPC":
      return "the disk is full";
    default:
      return message ?? String(error);
  }
}

/** Characters of the begin and the end of a message that is cut. */
const [BEGIN, END] = [400, 150];

function printable(text: string): string {
  const length = text.length, long = length > BEGIN + END + 50;
  const cut = long ? `${text.slice(0, BEGIN)} … ${text.slice(-END)}` : text;
  return cut.replace(
    /\p{Cc}/gu,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Where bytes come from: a file handle, or memory in tests. */
export type ByteReader = Pick<FileHandle, "read">;

/** An open file. */
export class ByteFile {
  /** What to call it in messages. */
  readonly path: string;
  /** Bytes that it holds. */
  readonly size: number;
  readonly #file: ByteReader;

  /** Of a file that is open; see `with`. */
  constructor(path: string, size: number, file: ByteReader) {
    this.path = path;
    this.size = size;
    this.#file = file;
  }

  /** Opens a file, lets `use` read it, and closes it. */
  static async with<T>(path: string, use: (file: ByteFile) => Promise<T>): Promise<T> {
    const unreadable = (error: unknown): never => {
      throw new FileError(`Cannot read ${path}: ${systemReason(error)}`);
    };
    // before it is opened: opening a named pipe waits for who writes into it, and hears no signal
    const there = await stat(path).catch(unreadable);
    if (!there.isFile()) throw new FileError(`Cannot read ${path}: it is not a file`);
    const file = await open(path).catch(unreadable);
    try {
      const { size } = await file.stat();
      return await use(new ByteFile(path, size, file));
    } finally {
      await file.close();
    }
  }

  /** The error of this file: what it holds among the words is cut, and cannot clear a terminal. */
  error(what: string): FileError {
    return new FileError(`Cannot read ${this.path}: ${printable(what)}`);
  }

  /** Bytes of the file, in an array of their own. */
  async read(offset: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    if (offset + count > this.size) {
      throw this.error(`it ends after ${this.size} bytes but ${offset + count} are needed`);
    }
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = new Uint8Array(count);
    } catch {
      throw new RangeError(`Cannot allocate ${count} bytes for ${this.path}`);
    }
    for (let at = 0; at < count;) {
      const length = Math.min(PIECE, count - at);
      const { bytesRead } = await this.#file.read(bytes, at, length, offset + at);
      if (bytesRead === 0) throw this.error(`it ended at byte ${offset + at} while it was read`);
      at += bytesRead;
    }
    return bytes;
  }
}
