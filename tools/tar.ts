// Just enough of the tar format to change one file of an archive.

const BLOCK = 512;
/** Fields of a header: where the size and the checksum stand, in octal digits. */
const SIZE = { at: 124, length: 12 }, CHECKSUM = { at: 148, length: 8 };

const padded = (bytes: number): number => Math.ceil(bytes / BLOCK) * BLOCK;

function readText(bytes: Uint8Array, at: number, length: number): string {
  return new TextDecoder().decode(bytes.subarray(at, at + length)).replace(/\0.*$/s, "").trim();
}

/** The header of a file of another size. */
function resized(header: Uint8Array, size: number): Uint8Array {
  const copy = header.slice(),
    write = (text: string, at: number) => copy.set(new TextEncoder().encode(text), at);
  write(`${size.toString(8).padStart(SIZE.length - 1, "0")}\0`, SIZE.at);
  write(" ".repeat(CHECKSUM.length), CHECKSUM.at);
  const sum = copy.reduce((a, b) => a + b, 0);
  write(`${sum.toString(8).padStart(CHECKSUM.length - 2, "0")}\0 `, CHECKSUM.at);
  return copy;
}

/** The archive with the text of one file changed; throws where there is no such file. */
export function changeFile(
  archive: Uint8Array,
  path: string,
  change: (text: string) => string,
): Uint8Array<ArrayBuffer> {
  for (let at = 0; at + BLOCK <= archive.length;) {
    const header = archive.subarray(at, at + BLOCK), begin = at + BLOCK;
    const size = parseInt(readText(header, SIZE.at, SIZE.length) || "0", 8);
    const end = begin + padded(size);
    if (readText(header, 0, 100) === path) {
      const text = new TextDecoder().decode(archive.subarray(begin, begin + size));
      const data = new TextEncoder().encode(change(text));
      const result = new Uint8Array(begin + padded(data.length) + archive.length - end);
      result.set(archive.subarray(0, at));
      result.set(resized(header, data.length), at);
      result.set(data, begin);
      result.set(archive.subarray(end), begin + padded(data.length));
      return result;
    }
    at = end;
  }
  throw new Error(`the archive has no ${path}`);
}
