import { HttpError } from "./http_error.ts";

/** Reads a body of JSON, of `limit` bytes at most and within so many seconds. */
export async function readJson(
  request: Request,
  limit: number,
  seconds: number,
): Promise<unknown> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new HttpError(408, `The body did not come within ${seconds} s`));
  }, seconds * 1000);
  const text = readText(request, limit);
  text.catch(() => {}); // when it was late, nobody waits for it
  try {
    return JSON.parse(await Promise.race([text, late.promise]));
  } catch (error) {
    if (error instanceof HttpError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new HttpError(400, `The body is not JSON: ${reason}`);
  } finally {
    clearTimeout(timer);
  }
}

async function readText(request: Request, limit: number): Promise<string> {
  const announced = Number(request.headers.get("content-length") ?? 0);
  if (announced > limit) throw tooLarge(limit);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "", bytes = 0;
  for await (const piece of request.body ?? []) {
    bytes += piece.length;
    if (bytes > limit) throw tooLarge(limit);
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}

function tooLarge(limit: number): HttpError {
  return new HttpError(413, `The body is longer than ${limit} bytes`);
}
