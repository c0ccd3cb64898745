// The bytes of the kernels from their text, in JavaScript: for hosts that forbid compiling at run time and may want the
// bytes all the same. What asm/unpack.ts does, step by step.
import type { PackedKernels } from "./unpack.ts";

/** Streams beside those of operands, whose numbers are those of `Follows` in tools/build/kernel_text/instructions.ts. */
export const STREAM = {
  OPCODES: 0,
  LOCALS: 9,
  COPIES: 10,
  SYMBOLS: 11,
  HEAD: 12,
  TAIL: 13,
} as const;
/** Bits of a symbol: it ends a function, raw bytes follow, it is a copy. */
export const BIT = { ENDS: 1, RAW: 2, COPY: 4 } as const;
/** The value after which a byte follows in two. */
export const ESCAPE = 89;
/** Digits of distances and lengths. */
export const BASE = 89;
const { OPCODES, LOCALS, COPIES, SYMBOLS, HEAD, TAIL } = STREAM, { ENDS, RAW, COPY } = BIT;
const CODE_SECTION = 10;

interface Symbol {
  readonly opcode: readonly number[];
  readonly stream: number;
  readonly count: number;
  readonly bits: number;
}

class Unpacker {
  readonly #text: string;
  /** Where each stream is, and where it ends. */
  readonly #places: number[];
  readonly #ends: readonly number[];
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #at = 0;

  constructor({ text, streams, size }: PackedKernels) {
    this.#text = text;
    let place = 0;
    this.#ends = streams.map((length) => place += length);
    this.#places = streams.map((length, i) => this.#ends[i]! - length);
    this.#bytes = new Uint8Array(size);
  }

  run(functions: number): Uint8Array<ArrayBuffer> {
    const symbols = Array.from({ length: this.#next(SYMBOLS) }, () => this.#symbol());
    this.#copyStream(HEAD);
    this.#put(CODE_SECTION);
    const code = this.#at;
    this.#at += 3;
    this.#putSize(this.#at, functions, 2);
    this.#at += 2;
    for (let i = 0; i < functions; i++) this.#readFunction(symbols);
    this.#putSize(code, this.#at - code - 3, 3);
    this.#copyStream(TAIL);
    return this.#bytes;
  }

  #value(stream: number): number {
    const code = this.#text.charCodeAt(this.#places[stream]!++);
    if (code > 36) return code - 37;
    return (code === 32 ? 60 : code === 33 ? 92 : 96) - 37;
  }

  /** The next byte of a stream. */
  #next(stream: number): number {
    const value = this.#value(stream);
    return value === ESCAPE ? this.#value(stream) << 4 | this.#value(stream) : value;
  }

  #number(digits: number): number {
    return digits === 0 ? 0 : this.#number(digits - 1) * BASE + this.#next(COPIES);
  }

  #put(byte: number): void {
    this.#bytes[this.#at++] = byte;
  }

  /** A size in as many bytes as were left for it. */
  #putSize(at: number, size: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) {
      this.#bytes[at + i] = size >> 7 * i & 127 | (i < bytes - 1 ? 128 : 0);
    }
  }

  #copyStream(stream: number): void {
    while (this.#places[stream]! < this.#ends[stream]!) this.#put(this.#next(stream));
  }

  #symbol(): Symbol {
    const opcode = Array.from({ length: this.#next(SYMBOLS) }, () => this.#next(SYMBOLS));
    const [stream, count, bits] = [1, 2, 3].map(() => this.#next(SYMBOLS)) as [
      number,
      number,
      number,
    ];
    return { opcode, stream, count, bits };
  }

  #readFunction(symbols: readonly Symbol[]): void {
    const start = this.#at;
    this.#at += 2;
    const runs = this.#next(LOCALS);
    this.#put(runs);
    for (let run = 0; run < runs; run++) {
      this.#putNumbers(LOCALS, 1);
      this.#put(this.#next(LOCALS));
    }
    let bits = 0;
    while (!(bits & ENDS)) {
      const symbol = symbols[this.#next(OPCODES)]!;
      bits = symbol.bits;
      if (bits & COPY) this.#copy(this.#number(3), this.#number(2));
      else this.#instruction(symbol);
    }
    this.#putSize(start, this.#at - start - 2, 2);
  }

  #instruction({ opcode, stream, count, bits }: Symbol): void {
    for (const byte of opcode) this.#put(byte);
    if (bits & RAW) { for (let i = 0; i < count; i++) this.#put(this.#next(stream)); }
    else this.#putNumbers(stream, count);
  }

  /** LEB128 numbers, whose last byte is below 128. */
  #putNumbers(stream: number, count: number): void {
    for (let left = count; left > 0;) {
      const byte = this.#next(stream);
      this.#put(byte);
      if (byte < 128) left--;
    }
  }

  #copy(distance: number, bytes: number): void {
    const from = this.#at - distance;
    this.#bytes.copyWithin(this.#at, from, from + bytes);
    this.#at += bytes;
  }
}

/** Makes the bytes, wherever JavaScript runs. */
export function unpackAnywhere(packed: PackedKernels): Uint8Array<ArrayBuffer> {
  return new Unpacker(packed).run(packed.functions);
}
