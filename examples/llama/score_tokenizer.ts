/**
 * The tokenizer of Llama 2 and llama2.c: SentencePiece's pieces with a score each. A text begins as
 * its characters, and the two neighbours that make the piece of the highest score are joined until
 * none make one. Strings in here are bytes, one a character, since a piece may end within one.
 */
import { joinByScore, type Joined } from "./join_by_score.ts";
import type { TokenDecoder, Tokenizer } from "./tokenizer.ts";

export interface ScorePieces {
  /** The bytes of each token. */
  pieces: Uint8Array[];
  scores: Float32Array;
  /** Whether a token may stand for text; others are marks. */
  isText: (token: number) => boolean;
  /** The token that begins texts. */
  begin: number | undefined;
  stops: number[];
  /** Whether a text begins with a space that it does not have. */
  prefixSpace: boolean;
}

/** Name of a byte that is no other token. */
const BYTE_PIECE = /^<0x([0-9A-F]{2})>$/;
const SPACE = 0x20;

export class ScoreTokenizer implements Tokenizer {
  readonly vocabulary: number;
  readonly longest: number;
  readonly stops: ReadonlySet<number>;
  readonly #with: ScorePieces;
  readonly #tokens = new Map<string, number>();
  readonly #bytes = new Map<number, number>();

  constructor(pieces: ScorePieces) {
    this.#with = pieces;
    this.vocabulary = pieces.pieces.length;
    this.longest = pieces.pieces.reduce((longest, { length }) => Math.max(longest, length), 1);
    this.stops = new Set(pieces.stops);
    pieces.pieces.forEach((piece, token) => {
      if (!pieces.isText(token) || piece.length === 0) return;
      const name = binaryString(piece), byte = BYTE_PIECE.exec(name);
      if (byte) this.#bytes.set(parseInt(byte[1]!, 16), token);
      else if (!this.#tokens.has(name)) this.#tokens.set(name, token);
    });
  }

  encode(text: string): number[] {
    const { begin, prefixSpace } = this.#with;
    const start = begin === undefined ? [] : [begin];
    if (text === "") return start;
    const symbols = this.#symbols(new TextEncoder().encode(prefixSpace ? ` ${text}` : text));
    return [...start, ...joinByScore(symbols, (a, b) => this.#joined(a, b))];
  }

  /** A token for each character, or for each of its bytes where it has none. */
  #symbols(bytes: Uint8Array): number[] {
    const symbols: number[] = [];
    for (let from = 0, to = 1; from < bytes.length; from = to++) {
      while (to < bytes.length && (bytes[to]! & 0xc0) === 0x80) to++;
      const character = bytes.subarray(from, to);
      const token = this.#tokens.get(binaryString(character));
      if (token !== undefined) symbols.push(token);
      else for (const byte of character) symbols.push(this.#byteToken(byte));
    }
    return symbols;
  }

  #byteToken(byte: number): number {
    const token = this.#bytes.get(byte);
    if (token !== undefined) return token;
    throw new RangeError(`Cannot encode the byte ${byte}: the tokenizer has no token for it`);
  }

  /** The token of two neighbours together, and its score. */
  #joined(a: number, b: number): Joined | undefined {
    const { pieces, scores } = this.#with;
    const token = this.#tokens.get(binaryString(pieces[a]!) + binaryString(pieces[b]!));
    return token === undefined ? undefined : { token, score: scores[token] ?? 0 };
  }

  decoder(): TokenDecoder {
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    let atStart = true;
    return {
      push: (token) => {
        if (token === this.#with.begin) return "";
        const bytes = this.#bytesOf(token, atStart && this.#with.prefixSpace);
        atStart = false;
        return utf8.decode(bytes, { stream: true });
      },
      end: () => utf8.decode(),
    };
  }

  #bytesOf(token: number, dropSpace: boolean): Uint8Array {
    const piece = this.#with.pieces[token] ?? new Uint8Array();
    const byte = BYTE_PIECE.exec(binaryString(piece));
    if (byte) return Uint8Array.of(parseInt(byte[1]!, 16));
    return dropSpace && piece[0] === SPACE ? piece.subarray(1) : piece;
  }
}

function binaryString(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
