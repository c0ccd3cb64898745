/** What a process prints. */

/** Reads lines until one matches. */
export async function waitFor(
  stream: ReadableStream<Uint8Array>,
  pattern: RegExp,
): Promise<RegExpMatchArray> {
  let text = "";
  for await (
    const piece of stream.pipeThrough(new TextDecoderStream()).values({ preventCancel: true })
  ) {
    text += piece;
    const match = text.match(pattern);
    if (match) return match;
  }
  throw new Error(`it ended with: ${text}`);
}
