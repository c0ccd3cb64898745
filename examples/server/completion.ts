/** The texts of one request, under way. */
import { Random } from "../byte_lm/random.ts";
import type { Batch } from "../llama/batch.ts";
import type { EndReason } from "../llama/text_request.ts";
import type { Tokenizer } from "../llama/tokenizer.ts";
import type { CompletionRequest, Limits } from "./completion_request.ts";
import { HttpError } from "./http_error.ts";
import { StopTexts } from "./stop_texts.ts";

/** A piece of the text of a choice; the last one says why it ended. */
export interface Piece {
  index: number;
  text: string;
  finish: "stop" | "length" | null;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

export class Completion {
  /** Resolves when all texts have ended; rejects when one failed or time was over. */
  readonly done: Promise<void>;
  /** Resolves with the first token; never where there is none. */
  readonly begun: Promise<void>;
  readonly usage: Usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
  readonly #cancels: (() => void)[] = [];
  readonly #ended = Promise.withResolvers<void>();
  readonly #begun = Promise.withResolvers<void>();
  #left: number;

  /** Submits all texts. `onPiece` is called as they come; all of a token's choices in their order. */
  constructor(
    batch: Batch,
    tokenizer: Tokenizer,
    request: CompletionRequest,
    { seconds }: Limits,
    onPiece: (piece: Piece) => void,
  ) {
    const texts = request.prompts.flatMap((prompt) => new Array<number[]>(request.n).fill(prompt));
    this.#left = texts.length;
    this.begun = this.#begun.promise;
    const timer = setTimeout(() => {
      this.#fail(new HttpError(503, `The texts were not done after ${seconds} s`));
    }, seconds * 1000);
    this.done = this.#ended.promise.finally(() => clearTimeout(timer));
    this.done.catch(() => {}); // a client that is gone does not wait for it
    try {
      texts.forEach((prompt, index) =>
        this.#submit(batch, tokenizer, request, prompt, index, onPiece)
      );
    } catch (error) {
      this.cancel();
      throw new HttpError(400, error instanceof Error ? error.message : String(error));
    }
  }

  /** Ends what still runs. */
  cancel(): void {
    this.#fail(new HttpError(499, "The client left"));
  }

  #fail(error: HttpError): void {
    this.#ended.reject(error);
    for (const cancel of this.#cancels) cancel();
  }

  #submit(
    batch: Batch,
    tokenizer: Tokenizer,
    request: CompletionRequest,
    prompt: number[],
    index: number,
    onPiece: (piece: Piece) => void,
  ): void {
    const { tokens, temperature, topP, seed } = request;
    const decoder = tokenizer.decoder(), stops = new StopTexts(request.stops);
    for (const token of prompt) decoder.push(token);
    let finished = false;
    const emit = (text: string, finish: Piece["finish"]): void => {
      finished = finish !== null;
      if (text !== "" || finished) onPiece({ index, text, finish });
    };
    this.usage.prompt_tokens += index % request.n === 0 ? prompt.length : 0;
    const cancel = batch.submit({
      prompt,
      tokens,
      sampling: { temperature, topP },
      random: new Random((seed ?? Math.random() * 2 ** 32) + index),
      stops: tokenizer.stops,
      onToken: (token) => {
        if (finished) return;
        this.#begun.resolve();
        this.usage.completion_tokens++;
        const { text, stopped } = stops.push(decoder.push(token));
        emit(text, stopped ? "stop" : null);
        if (stopped) cancel();
      },
      onEnd: (reason) =>
        this.#end(reason, () => {
          if (finished) return;
          const last = stops.push(decoder.end());
          emit(last.text + (last.stopped ? "" : stops.end()), reason as "stop" | "length");
        }),
    });
    this.#cancels.push(cancel);
  }

  #end(reason: EndReason | Error, finish: () => void): void {
    if (reason instanceof Error) return this.#fail(new HttpError(500, reason.message));
    if (reason !== "cancelled") {
      this.#begun.resolve(); // a text may end before its first token
      finish();
    }
    if (--this.#left > 0) return;
    this.usage.total_tokens = this.usage.prompt_tokens + this.usage.completion_tokens;
    this.#ended.resolve();
  }
}
