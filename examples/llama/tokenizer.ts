/** Text to tokens and back. */

export interface Tokenizer {
  /** Tokens that it knows. */
  readonly vocabulary: number;
  /** No token stands for more bytes than this. */
  readonly longest: number;
  /** Tokens that end a text. */
  readonly stops: ReadonlySet<number>;
  /** The tokens of a text, behind the one that begins texts, if there is one. */
  encode(text: string): number[];
  /** Turns tokens of one text into text, as they come. */
  decoder(): TokenDecoder;
}

export interface TokenDecoder {
  /** What is certain of the text by now and was not returned before; often nothing, in the middle of a character. */
  push(token: number): string;
  /** The rest, when no token follows. */
  end(): string;
}

/** The text of tokens. */
export function decode(tokenizer: Tokenizer, tokens: Iterable<number>): string {
  const decoder = tokenizer.decoder();
  let text = "";
  for (const token of tokens) text += decoder.push(token);
  return text + decoder.end();
}
