/** Answers that come in pieces, as server-sent events. */
import type { Completion, Piece } from "./completion.ts";
import { toHttpError } from "./http_error.ts";

/**
 * A response whose events are the pieces of a completion. `start` begins it; it is ended when the
 * client goes away.
 */
export function eventStream(
  envelope: Readonly<Record<string, unknown>>,
  usage: boolean,
  start: (onPiece: (piece: Piece) => void) => Completion,
): Response {
  const encoder = new TextEncoder();
  let controller!: ReadableStreamDefaultController<Uint8Array>, open = true;
  const stream = new ReadableStream<Uint8Array>({
    start: (its) => {
      controller = its;
    },
    cancel: () => {
      open = false;
      completion.cancel();
    },
  });
  const send = (data: string): void => {
    if (open) controller.enqueue(encoder.encode(`data: ${data}\n\n`));
  };
  const completion = start(({ index, text, finish }) => {
    const choices = [{ text, index, logprobs: null, finish_reason: finish }];
    send(JSON.stringify({ ...envelope, choices }));
  });
  completion.done
    .then(() => {
      if (usage) send(JSON.stringify({ ...envelope, choices: [], usage: completion.usage }));
      send("[DONE]");
    }, (error) => send(JSON.stringify(toHttpError(error))))
    .finally(() => {
      if (open) controller.close();
      open = false;
    });
  return new Response(stream, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
  });
}
