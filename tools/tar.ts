// Just enough of the tar format to change a file of an archive, and to add one.
import { Buffer } from "node:buffer";

const BLOCK = 512;
/** Fields of a header: where they stand and how long they are; numbers are octal digits. */
const NAME = { at: 0, length: 100 }, SIZE = { at: 124, length: 12 };
const CHECKSUM = { at: 148, length: 8 };

type Field = typeof NAME;

/** A file of an archive. */
interface Member {
  readonly header: Uint8Array;
  readonly data: Uint8Array;
  /** Where it stands, its header and its padding included. */
  readonly begin: number;
  readonly end: number;
}

const padded = (bytes: number): number => Math.ceil(bytes / BLOCK) * BLOCK;

function readField(bytes: Uint8Array, { at, length }: Field): string {
  return new TextDecoder().decode(bytes.subarray(at, at + length)).replace(/\0.*$/s, "").trim();
}

/** A header like another, for a file of that name and size. */
function headerLike(header: Uint8Array, name: string, size: number): Uint8Array {
  const copy = header.slice();
  const write = (text: string, { at, length }: Field) => {
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > length) throw new Error(`${text} is too long for an archive`);
    copy.fill(0, at, at + length);
    copy.set(bytes, at);
  };
  write(name, NAME);
  write(`${size.toString(8).padStart(SIZE.length - 1, "0")}\0`, SIZE);
  write(" ".repeat(CHECKSUM.length), CHECKSUM);
  const sum = copy.reduce((a, b) => a + b, 0);
  write(`${sum.toString(8).padStart(CHECKSUM.length - 2, "0")}\0 `, CHECKSUM);
  return copy;
}

function find(archive: Uint8Array, path: string): Member {
  for (let begin = 0; begin + BLOCK <= archive.length;) {
    const header = archive.subarray(begin, begin + BLOCK);
    const size = parseInt(readField(header, SIZE) || "0", 8), from = begin + BLOCK;
    const end = from + padded(size);
    if (readField(header, NAME) === path) {
      return { header, data: archive.subarray(from, from + size), begin, end };
    }
    begin = end;
  }
  throw new Error(`the archive has no ${path}`);
}

function member(header: Uint8Array, name: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(BLOCK + padded(data.length));
  bytes.set(headerLike(header, name, data.length));
  bytes.set(data, BLOCK);
  return bytes;
}

/** The archive with the text of one file changed; throws where there is no such file. */
export function changeFile(
  archive: Uint8Array,
  path: string,
  change: (text: string) => string,
): Uint8Array<ArrayBuffer> {
  const { header, data, begin, end } = find(archive, path);
  const text = new TextEncoder().encode(change(new TextDecoder().decode(data)));
  const parts = [archive.subarray(0, begin), member(header, path, text), archive.subarray(end)];
  return new Uint8Array(Buffer.concat(parts));
}

/** The archive with one file more, behind another whose mode and date it takes. */
export function addFile(
  archive: Uint8Array,
  behind: string,
  path: string,
  data: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const { header, end } = find(archive, behind);
  const parts = [archive.subarray(0, end), member(header, path, data), archive.subarray(end)];
  return new Uint8Array(Buffer.concat(parts));
}
