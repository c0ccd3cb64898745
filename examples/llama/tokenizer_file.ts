/** Reads tokenizers: the .bin of llama2.c, and tokenizer.json of Hugging Face. */
import type { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { type ByteSource, readAll } from "./byte_source.ts";
import { ScoreTokenizer } from "./score_tokenizer.ts";
import type { TokenDecoder, Tokenizer } from "./tokenizer.ts";

/** Not a literal, so that another tokenizer fetches nothing. */
const LIBRARY: string = "@huggingface/tokenizers";
/** Larger than any tokenizer: such a file is something else. */
const LARGEST_FILE = 256 * 2 ** 20;
/** In llama2.c's files: unknown, beginning of a text, end of a text. */
const MARKS = 3, BEGIN = 1, END = 2;
const REPLACEMENT = "\ufffd";

/** Reads either kind, for a model of `vocabulary` tokens. */
export async function readTokenizer(source: ByteSource, vocabulary: number): Promise<Tokenizer> {
  if (source.size > LARGEST_FILE) {
    throw new RangeError(`Cannot read ${source.name}: ${source.size} bytes are no tokenizer`);
  }
  const bytes = await readAll(source);
  const open = bytes.find((byte) => byte > 0x20);
  return open === 0x7b // a brace
    ? await readTokenizerJson(source.name, new TextDecoder().decode(bytes), vocabulary)
    : readPieces(source.name, bytes, vocabulary);
}

/** The longest piece, then for each token its score, its length and its bytes. */
function readPieces(name: string, bytes: Uint8Array<ArrayBuffer>, vocabulary: number): Tokenizer {
  const fail = (what: string): never => {
    throw new RangeError(`Cannot read ${name} as a tokenizer of ${vocabulary} tokens: ${what}`);
  };
  const view = new DataView(bytes.buffer);
  if (bytes.length < 4) fail(`it holds ${bytes.length} bytes`);
  const longest = view.getUint32(0, true);
  const pieces: Uint8Array[] = [], scores = new Float32Array(vocabulary);
  let at = 4;
  for (let token = 0; token < vocabulary; token++) {
    if (at + 8 > bytes.length) fail(`it ends in token ${token}`);
    scores[token] = view.getFloat32(at, true);
    const length = view.getUint32(at + 4, true);
    at += 8;
    if (length > longest) fail(`token ${token} has ${length} bytes, the longest ${longest}`);
    if (at + length > bytes.length) fail(`it ends in token ${token}`);
    pieces.push(bytes.subarray(at, at += length));
  }
  if (at < bytes.length) fail(`${bytes.length - at} bytes are left: it is of another model`);
  return new ScoreTokenizer({
    pieces,
    scores,
    isText: (token) => token >= MARKS,
    begin: BEGIN,
    stops: [BEGIN, END], // a model of stories begins the next one where one ends
    prefixSpace: true,
  });
}

/** Every tokenizer of Hugging Face; its library is fetched from npm when the first one is read. */
async function readTokenizerJson(
  name: string,
  text: string,
  vocabulary: number,
): Promise<Tokenizer> {
  const { Tokenizer } = await import(LIBRARY).catch((error) => {
    throw new Error(`Cannot read ${name}: npm:${LIBRARY} cannot be loaded: ${error.message}`);
  });
  let inner: HuggingFaceTokenizer;
  try {
    inner = new Tokenizer(JSON.parse(text), {});
  } catch (error) {
    throw new RangeError(
      `Cannot read ${name} as a tokenizer.json: ${error instanceof Error ? error.message : error}`,
    );
  }
  const marks = [...inner.get_added_tokens_decoder()].filter(([, { special }]) => special);
  const end = marks.filter(([, { content }]) =>
    /^<\/s>$|end_?of_?text|eot_id|im_end/.test(content)
  );
  const pieces = [...inner.get_vocab(true).keys()];
  if (pieces.length > vocabulary) {
    throw new RangeError(
      `Cannot read ${name}: it has ${pieces.length} tokens, but the model ${vocabulary}`,
    );
  }
  return {
    vocabulary: pieces.length,
    longest: pieces.reduce((longest, { length }) => Math.max(longest, 4 * length), 1), // of UTF-8
    stops: new Set(end.map(([token]) => token)),
    encode: (text) => inner.encode(text).ids,
    decoder: () => decoderOf(inner),
  };
}

/**
 * Decodes a little more than the last token each time, since spaces and characters may depend on the
 * one before, and returns what is new. A character that is not complete yet waits.
 */
function decoderOf(inner: HuggingFaceTokenizer): TokenDecoder {
  let before: number[] = [], waiting: number[] = [];
  const text = (tokens: number[]): string =>
    tokens.length === 0 ? "" : inner.decode(tokens, { skip_special_tokens: true });
  const flush = (): string => {
    const fresh = text([...before, ...waiting]).slice(text(before).length);
    [before, waiting] = [waiting, []];
    return fresh;
  };
  return {
    push(token) {
      waiting.push(token);
      return text([...before, ...waiting]).endsWith(REPLACEMENT) ? "" : flush();
    },
    end: flush,
  };
}
