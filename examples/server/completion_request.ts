/** What POST /v1/completions asks for, checked. */
import type { Tokenizer } from "../llama/tokenizer.ts";
import { HttpError } from "./http_error.ts";

export interface Limits {
  /** Of a request's body. */
  bodyBytes: number;
  /** Prompt and what is written together, in tokens. */
  context: number;
  /** Tokens that a request may have written. */
  tokens: number;
  /** Texts of a request: prompts times `n`. */
  texts: number;
  /** Texts that may wait for room. */
  queue: number;
  /** Longest time from a request to its last token. */
  seconds: number;
}

export interface CompletionRequest {
  /** Tokens of each prompt. */
  prompts: number[][];
  /** Texts for each prompt. */
  n: number;
  tokens: number;
  temperature: number;
  topP: number;
  seed: number | undefined;
  stops: string[];
  stream: boolean;
  /** Whether a stream ends with a count of tokens. */
  usage: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

/** Options of OpenAI's that this server does not have, and which values ask for nothing. */
const ABSENT: Readonly<Record<string, (value: unknown, fields: Fields) => boolean>> = {
  best_of: (value, fields) => value === (given(fields, "n") ?? 1),
  echo: (value) => value === false,
  frequency_penalty: (value) => value === 0,
  logit_bias: (value) => typeof value === "object" && Object.keys(value!).length === 0,
  logprobs: (value) => value === false, // 0 asks for those of the tokens written
  presence_penalty: (value) => value === 0,
  suffix: (value) => value === "",
};
/** Options that it has. `user` says who asks, which changes no text. */
const KNOWN: readonly string[] = [
  ...["model", "prompt", "max_tokens", "n", "temperature", "top_p", "seed", "stop", "stream"],
  ...["stream_options", "user"],
];
const DEFAULT_TOKENS = 16, MOST_STOPS = 4, LONGEST_STOP = 256;
/** Characters of a name that an answer repeats. */
const LONGEST_NAME = 80;

/** Checks the fields of a request; throws a 400 or 404 that names the one that is wrong. */
export function parseRequest(
  body: unknown,
  model: string,
  tokenizer: Tokenizer,
  limits: Limits,
): CompletionRequest {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new HttpError(400, "The body must be a JSON object");
  }
  const fields = body as Fields;
  checkKnown(fields, model);
  const tokens = numberOf(fields, "max_tokens", DEFAULT_TOKENS, [1, limits.tokens], true);
  const n = numberOf(fields, "n", 1, [1, limits.texts], true);
  const prompts = promptsOf(fields, tokenizer, limits, tokens);
  if (prompts.length * n > limits.texts) {
    throw wrong("prompt", `${prompts.length} prompts times n are more than ${limits.texts} texts`);
  }
  const seed = given(fields, "seed");
  return {
    prompts,
    n,
    tokens,
    temperature: numberOf(fields, "temperature", 1, [0, 2]),
    topP: numberOf(fields, "top_p", 1, [Number.MIN_VALUE, 1]),
    seed: seed === undefined ? undefined : numberOf(fields, "seed", 0, [0, 2 ** 32 - 1], true),
    stops: stopsOf(given(fields, "stop")),
    stream: flagOf(fields, "stream"),
    usage: wantsUsage(given(fields, "stream_options")),
  };
}

function checkKnown(fields: Fields, model: string): void {
  const asked = given(fields, "model");
  if (asked !== undefined && typeof asked !== "string") throw wrong("model", "expected a name");
  if (asked !== undefined && asked !== model) {
    const shown = JSON.stringify(asked.slice(0, LONGEST_NAME));
    throw new HttpError(404, `There is no model ${shown} here but "${model}"`, { param: "model" });
  }
  for (const name of Object.keys(fields)) {
    const value = given(fields, name);
    if (value === undefined || KNOWN.includes(name)) continue;
    if (Object.hasOwn(ABSENT, name) && ABSENT[name]!(value, fields)) continue;
    throw wrong(name.slice(0, LONGEST_NAME), "this server does not have it");
  }
}

/** Whether a stream is to end with a count of tokens. */
function wantsUsage(options: unknown): boolean {
  if (options === undefined) return false;
  const fields = typeof options === "object" && !Array.isArray(options) ? options as Fields : {};
  const [only = "", ...rest] = Object.keys(Object(options));
  if (fields === options && rest.length === 0 && ["", "include_usage"].includes(only)) {
    return flagOf(fields, "include_usage");
  }
  throw wrong("stream_options", 'expected an object with no more than "include_usage"');
}

/** A text, several, the tokens of one, or of several. */
function promptsOf(
  fields: Fields,
  tokenizer: Tokenizer,
  limits: Limits,
  written: number,
): number[][] {
  const prompt = given(fields, "prompt");
  if (prompt === undefined) throw wrong("prompt", "it is missing");
  const single = typeof prompt === "string" || isTokens(prompt);
  const list: unknown[] = single ? [prompt] : Array.isArray(prompt) ? prompt : [];
  if (list.length === 0) throw wrong("prompt", "expected a text, texts, or arrays of tokens");
  if (list.length > limits.texts) throw wrong("prompt", `more than ${limits.texts} prompts`);
  return list.map((entry) => {
    const tokens = tokensOf(entry, tokenizer, limits);
    if (tokens.length === 0) throw wrong("prompt", "it is empty");
    if (tokens.length + written > limits.context) {
      throw wrong(
        "prompt",
        `${tokens.length} tokens and max_tokens of ${written} are more than ` +
          `the ${limits.context} that the model reads`,
      );
    }
    return tokens;
  });
}

function tokensOf(entry: unknown, tokenizer: Tokenizer, { context }: Limits): number[] {
  if (typeof entry === "string") {
    // told before it is encoded, which takes time
    if (entry.length > context * tokenizer.longest) {
      throw wrong("prompt", `${entry.length} characters are more than ${context} tokens`);
    }
    return tokenizer.encode(entry);
  }
  if (!isTokens(entry)) throw wrong("prompt", "expected a text, texts, or arrays of tokens");
  for (const token of entry) {
    if (!Number.isInteger(token) || token < 0 || token >= tokenizer.vocabulary) {
      throw wrong("prompt", `${token} is not a token from 0 to ${tokenizer.vocabulary - 1}`);
    }
  }
  return entry;
}

function isTokens(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((n) => typeof n === "number");
}

function stopsOf(stop: unknown): string[] {
  const stops = stop === undefined ? [] : Array.isArray(stop) ? stop : [stop];
  if (stops.length > MOST_STOPS) throw wrong("stop", `more than ${MOST_STOPS} texts`);
  return stops.map((text: unknown) => {
    if (typeof text === "string" && text !== "" && text.length <= LONGEST_STOP) return text;
    throw wrong("stop", `expected texts of 1 to ${LONGEST_STOP} characters`);
  });
}

function numberOf(
  fields: Fields,
  name: string,
  fallback: number,
  [least, most]: readonly [number, number],
  whole = false,
): number {
  const value = given(fields, name) ?? fallback;
  if (typeof value !== "number" || !(value >= least && value <= most)) {
    throw wrong(name, `expected a number from ${least} to ${most}`);
  }
  if (whole && !Number.isInteger(value)) throw wrong(name, "expected a whole number");
  return value;
}

function flagOf(fields: Fields, name: string): boolean {
  const value = given(fields, name) ?? false;
  if (typeof value !== "boolean") throw wrong(name, "expected true or false");
  return value;
}

/** A field; null is as good as none. */
function given(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] ?? undefined : undefined;
}

function wrong(param: string, what: string): HttpError {
  return new HttpError(400, `Cannot use ${param}: ${what}`, { param });
}
