/**
 * Continuous batching: texts join and leave between steps. In a step every text that runs has its
 * waiting tokens read, those of prompts in one call and the last ones of all others in another.
 */
import type { Caches } from "./caches.ts";
import type { Llama, Rows } from "./llama.ts";
import { sample } from "./sampler.ts";
import type { EndReason, TextRequest } from "./text_request.ts";
import { turn } from "./turn.ts";

export interface BatchOptions {
  /** Texts that run at once. */
  sequences: number;
  /** Rows of prompts read in one step at most, so that texts that are being written go on. */
  promptRows: number;
}

/** Shared prefixes below this many tokens are read again: it costs less than a fork. */
const LEAST_SHARED = 16;

/** A text that runs or waits. */
interface Text {
  request: TextRequest;
  /** Prompt and what was written. */
  tokens: number[];
  /** How many of them the caches hold. */
  read: number;
  sequence: number | undefined;
  /** Rows that are set aside for it. */
  rows: number;
  cancelled: boolean;
}

/** What was done so far. */
export interface BatchCounts {
  steps: number;
  promptTokens: number;
  /** Of these, not read because another text held them. */
  sharedTokens: number;
  writtenTokens: number;
  promptMs: number;
  writeMs: number;
}

export class Batch {
  readonly counts: BatchCounts = {
    steps: 0,
    promptTokens: 0,
    sharedTokens: 0,
    writtenTokens: 0,
    promptMs: 0,
    writeMs: 0,
  };
  readonly #model: Llama;
  readonly #caches: Caches;
  readonly #options: BatchOptions;
  readonly #waiting: Text[] = [];
  readonly #running = new Set<Text>();
  #reserved = 0;
  #failure: Error | undefined;
  #loop: Promise<void> | undefined;

  constructor(model: Llama, caches: Caches, options: BatchOptions) {
    this.#model = model;
    this.#caches = caches;
    this.#options = options;
  }

  /** Texts that run. */
  get running(): number {
    return this.#running.size;
  }

  /** Texts that wait for room. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Rows that are set aside for texts that run. */
  get reserved(): number {
    return this.#reserved;
  }

  /** What made the last step fail; undefined where it did not. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Takes a text in; the function that it returns ends it early. */
  submit(request: TextRequest): () => void {
    const tokens = [...request.prompt];
    const rows = this.#caches.rowsFor(tokens.length + request.tokens - 1); // the last is not read
    if (rows === undefined) {
      throw new RangeError(
        `Cannot take a text of ${tokens.length} + ${request.tokens} tokens: ` +
          `the caches have no room for a text so long`,
      );
    }
    const text = { request, tokens, read: 0, sequence: undefined, rows, cancelled: false };
    this.#waiting.push(text);
    this.#loop ??= this.#run().finally(() => this.#loop = undefined);
    return () => this.#cancel(text);
  }

  /** Resolves when no text runs or waits. */
  async idle(): Promise<void> {
    while (this.#loop) await this.#loop;
  }

  #cancel(text: Text): void {
    text.cancelled = true;
    const at = this.#waiting.indexOf(text);
    if (at < 0) return; // it leaves after the step
    this.#waiting.splice(at, 1);
    text.request.onEnd("cancelled");
  }

  async #run(): Promise<void> {
    let listened = await turn(0); // texts that are submitted together begin together
    while (this.#waiting.length + this.#running.size > 0) {
      await this.#step();
      listened = await turn(listened);
    }
  }

  async #step(): Promise<void> {
    this.#failure = undefined;
    try {
      for (const text of this.#running) if (text.cancelled) this.#end(text, "cancelled");
      await this.#admit();
      const running = [...this.#running];
      const waiting = (text: Text): number => text.tokens.length - text.read;
      const writing = running.filter((text) => waiting(text) === 1);
      const reading = running.filter((text) => waiting(text) > 1);
      this.counts.steps++;
      this.counts.promptMs += await this.#read(reading, this.#options.promptRows);
      this.counts.writeMs += await this.#read(writing, writing.length);
    } catch (error) {
      for (const text of this.#running) this.#fail(text, error);
    }
  }

  /** Lets waiting texts in, the oldest first, while there is room. */
  async #admit(): Promise<void> {
    const { sequences } = this.#options, { rows } = this.#caches;
    for (let text = this.#waiting[0]; text; text = this.#waiting[0]) {
      if (this.#running.size === sequences || this.#reserved + text.rows > rows) return;
      const { holder, length } = this.#longestShared(text);
      if (holder && holder.read < length) return; // it is being read: wait and share it
      this.#waiting.shift();
      this.#running.add(text);
      this.#reserved += text.rows;
      this.counts.promptTokens += text.tokens.length;
      if (!holder) continue;
      text.sequence = await this.#caches.fork(holder.sequence!, length);
      text.read = length;
      this.counts.sharedTokens += length;
    }
  }

  /** The running text that begins with the most of a prompt, all but its last token at the most. */
  #longestShared({ tokens }: Text): { holder?: Text; length: number } {
    let longest: { holder?: Text; length: number } = { length: LEAST_SHARED - 1 };
    for (const holder of this.#running) {
      const limit = Math.min(tokens.length - 1, holder.request.prompt.length);
      let length = 0;
      while (length < limit && tokens[length] === holder.tokens[length]) length++;
      if (length > longest.length) longest = { holder, length };
    }
    return longest;
  }

  /**
   * Reads waiting tokens of texts in one call, `limit` at the most, and writes the next token of each
   * text that has none left. Returns the milliseconds that it took.
   */
  async #read(texts: Text[], limit: number): Promise<number> {
    const start = performance.now();
    const taken: Text[] = [], tokens: number[] = [], starts = [0];
    for (const text of texts) {
      const end = Math.min(text.tokens.length, text.read + limit - tokens.length);
      if (end === text.read) break;
      for (let at = text.read; at < end; at++) tokens.push(text.tokens[at]!);
      starts.push(tokens.length);
      taken.push(text);
    }
    if (taken.length === 0) return 0;
    const logits = await this.#model.forward(this.#caches, this.#rows(taken, tokens, starts));
    const size = this.#model.shape.vocabulary;
    taken.forEach((text, i) => {
      text.read += starts[i + 1]! - starts[i]!;
      if (text.read < text.tokens.length) return;
      try {
        this.#write(text, logits.subarray(i * size, (i + 1) * size));
      } catch (error) {
        this.#fail(text, error); // the others go on
      }
    });
    return performance.now() - start;
  }

  #rows(texts: Text[], tokens: number[], starts: number[]): Rows {
    const taken = new Set(texts.map(({ sequence }) => sequence));
    for (const text of texts) {
      text.sequence ??= this.#caches.lowestEmpty(taken);
      taken.add(text.sequence);
    }
    return {
      tokens: Int32Array.from(tokens),
      starts: Int32Array.from(starts),
      sequences: Int32Array.from(texts, ({ sequence }) => sequence!),
    };
  }

  /** Chooses the next token of a text. */
  #write(text: Text, logits: Float32Array): void {
    const { request, tokens } = text;
    const token = sample(logits, request.sampling, request.random);
    if (request.stops.has(token)) return this.#end(text, "stop");
    tokens.push(token);
    this.counts.writtenTokens++;
    request.onToken(token);
    if (tokens.length - request.prompt.length === request.tokens) this.#end(text, "length");
  }

  #fail(text: Text, error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#end(text, this.#failure);
  }

  #end(text: Text, reason: EndReason | Error): void {
    this.#running.delete(text);
    this.#reserved -= text.rows;
    if (text.sequence !== undefined) this.#caches.free(text.sequence);
    text.request.onEnd(reason);
  }
}
