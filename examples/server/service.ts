/** An OpenAI-compatible server of completions: what a request gets, apart from any socket. */
import type { Engine } from "../../mod.ts";
import type { Batch } from "../llama/batch.ts";
import type { Caches } from "../llama/caches.ts";
import type { Llama } from "../llama/llama.ts";
import type { Tokenizer } from "../llama/tokenizer.ts";
import { checkEncoding, parseJson, readBytes } from "./body.ts";
import { Completion, type Piece } from "./completion.ts";
import { type CompletionRequest, type Limits, parseRequest } from "./completion_request.ts";
import { HttpError, toHttpError } from "./http_error.ts";
import { Durations, formatSamples } from "./metrics.ts";
import { eventStream } from "./event_stream.ts";
import { samplesOf } from "./samples.ts";

export interface ServiceParts {
  /** What the model is called. */
  name: string;
  engine: Engine;
  llama: Llama;
  caches: Caches;
  batch: Batch;
  tokenizer: Tokenizer;
  /** Texts that run at once. */
  sequences: number;
  limits: Limits;
}

type Handler = (request: Request) => Response | Promise<Response>;

export class Service {
  readonly #parts: ServiceParts;
  readonly #created = Math.floor(Date.now() / 1000);
  readonly #responses = new Map<number, number>();
  readonly #firstToken = new Durations();
  readonly #whole = new Durations();
  readonly #open = new Set<Promise<void>>();
  #gone = 0;
  #draining = false;

  /** By path, then by method: maps, since a request may have a method that is called `constructor`. */
  readonly #routes: ReadonlyMap<string, ReadonlyMap<string, Handler>>;

  constructor(parts: ServiceParts) {
    this.#parts = parts;
    const get = (answer: Handler) => new Map([["GET", answer], ["HEAD", answer]]);
    this.#routes = new Map([
      ["/v1/completions", new Map([["POST", (request: Request) => this.#complete(request)]])],
      ["/v1/models", get(() => Response.json({ object: "list", data: [this.#model()] }))],
      [`/v1/models/${encodeURIComponent(parts.name)}`, get(() => Response.json(this.#model()))],
      ["/health", get(() => this.#health())],
      ["/metrics", get(() => this.#metrics())],
    ]);
  }

  /** Answers a request. */
  readonly fetch = async (request: Request): Promise<Response> => {
    const response = await this.#answer(request).catch((error) => toHttpError(error).response());
    this.#responses.set(response.status, (this.#responses.get(response.status) ?? 0) + 1);
    return response;
  };

  /** Refuses what comes from now on; resolves when all that runs has ended. */
  async drain(): Promise<void> {
    this.#draining = true;
    while (this.#open.size > 0) await Promise.all(this.#open);
    await this.#parts.batch.idle();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url), route = this.#routes.get(pathname);
    if (!route) throw new HttpError(404, `There is nothing at ${pathname}`);
    const handler = route.get(request.method);
    if (handler) return await handler(request);
    const allow = [...route.keys()].join(", ");
    throw new HttpError(405, `${pathname} takes ${allow}`, { headers: { allow } });
  }

  #model(): Record<string, unknown> {
    return { id: this.#parts.name, object: "model", created: this.#created, owned_by: "flashtile" };
  }

  #health(): Response {
    const { failure } = this.#parts.batch;
    const status = this.#draining ? "draining" : failure ? `failing: ${failure.message}` : "ok";
    return Response.json({ status }, { status: status === "ok" ? 200 : 503 });
  }

  #metrics(): Response {
    const text = [
      formatSamples(samplesOf(this.#parts, this.#responses, this.#gone)),
      this.#firstToken.format("flashtile_first_token_seconds", "To the first token of a request."),
      this.#whole.format("flashtile_completion_seconds", "To the last token of a request."),
    ].join("");
    return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4" } });
  }

  async #complete(request: Request): Promise<Response> {
    const { name, tokenizer, limits } = this.#parts;
    this.#refuseWhileDraining();
    checkEncoding(request.headers);
    const body = parseJson(await readBytes(request, limits.bodyBytes, limits.seconds));
    const asked = parseRequest(body, name, tokenizer, limits);
    this.#refuseWhileDraining(); // it may have begun while the body came
    this.#refuseWhileFull(asked.prompts.length * asked.n);
    const envelope = {
      id: `cmpl-${crypto.randomUUID()}`,
      object: "text_completion",
      created: Math.floor(Date.now() / 1000),
      model: name,
    };
    if (asked.stream) {
      return eventStream(envelope, asked.usage, (onPiece) => this.#start(asked, onPiece));
    }
    const texts = new Map<number, Piece>();
    const completion = this.#start(asked, (piece) => {
      const before = texts.get(piece.index)?.text ?? "";
      texts.set(piece.index, { ...piece, text: before + piece.text });
    });
    const leave = () => completion.cancel(); // a stream hears by itself
    request.signal.addEventListener("abort", leave);
    if (request.signal.aborted) leave(); // while the body was read
    await completion.done;
    const choices = [...texts.values()].sort((a, b) => a.index - b.index)
      .map(({ index, text, finish }) => ({ text, index, logprobs: null, finish_reason: finish }));
    return Response.json({ ...envelope, choices, usage: completion.usage });
  }

  #start(
    asked: CompletionRequest,
    onPiece: (piece: Piece) => void,
  ): Completion {
    const { batch, tokenizer, limits } = this.#parts, start = performance.now();
    const seconds = (): number => (performance.now() - start) / 1000;
    const completion = new Completion(batch, tokenizer, asked, limits, onPiece);
    completion.begun.then(() => this.#firstToken.observe(seconds()));
    const closed = completion.done.then(() => this.#whole.observe(seconds()), (error) => {
      if (error.status === 499) this.#gone++;
    }).finally(() => this.#open.delete(closed));
    this.#open.add(closed);
    return completion;
  }

  #refuseWhileDraining(): void {
    if (this.#draining) throw new HttpError(503, "The server is about to stop");
  }

  #refuseWhileFull(count: number): void {
    const { batch, sequences, limits } = this.#parts;
    if (batch.running + batch.waiting + count <= sequences + limits.queue) return;
    throw new HttpError(429, `${batch.waiting} texts are waiting already: try again later`, {
      headers: { "retry-after": "1" },
    });
  }
}
