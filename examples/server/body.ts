import { HttpError } from "./http_error.ts";

/** Reads a body of `limit` bytes at most, within so many seconds; of one that is late no more is taken. */
export async function readBytes(
  request: Request,
  limit: number,
  seconds: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > limit) throw tooLarge(limit);
  const reader = request.body?.getReader();
  if (!reader) return new Uint8Array();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    reader.cancel().catch(() => {});
  }, seconds * 1000);
  try {
    const bytes = await readAll(reader, limit);
    if (late) throw new HttpError(408, `The body did not come within ${seconds} s`);
    return bytes;
  } finally {
    clearTimeout(timer);
  }
}

async function readAll(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  limit: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { value } = await reader.read().catch((error) => {
      throw new HttpError(400, `The body broke off: ${error.message}`);
    });
    if (!value) break;
    length += value.length;
    if (length > limit) {
      reader.cancel().catch(() => {});
      throw tooLarge(limit);
    }
    pieces.push(value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Throws for a body that would have to be unpacked: how long it is then, no header says. */
export function checkEncoding(headers: Headers): void {
  const encoding = headers.get("content-encoding") ?? "identity";
  if (encoding === "identity") return;
  throw new HttpError(415, `Content-Encoding is ${encoding}, but bodies must come as they are`);
}

/** What a body of JSON says. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new HttpError(400, `The body is not JSON: ${reason}`);
  }
}

function tooLarge(limit: number): HttpError {
  return new HttpError(413, `The body is longer than ${limit} bytes`);
}
