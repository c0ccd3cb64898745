// The code of a module as instructions: their opcodes, and what follows these, by kind.

/** Streams of what follows an opcode. The first are LEB128 numbers, which end by themselves; the others raw bytes. */
export const Follows = {
  nothing: 0,
  local: 1,
  offset: 2,
  integer: 3,
  written: 4, // locals that are set
  callee: 5,
  global: 6,
  rare: 7,
  constant: 8,
} as const;

/** Kinds from here on are raw bytes, as many as the opcode says. */
export const FIRST_RAW: number = Follows.rare;

export interface Instruction {
  readonly opcode: readonly number[];
  readonly follows: number;
  readonly operands: readonly number[];
  /** Whether it ends its function. */
  readonly last: boolean;
}

export interface Code {
  /** What stands before the code section, and after it. */
  readonly head: readonly number[];
  readonly tail: readonly number[];
  readonly functions: readonly {
    readonly locals: readonly number[];
    readonly body: Instruction[];
  }[];
}

const CODE_SECTION = 10;

/** Reads bytes, one number after the other. */
class Reader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  byte(): number {
    return this.#bytes[this.at++]!;
  }

  number(): number {
    let value = 0;
    for (let shift = 0;; shift += 7) {
      const byte = this.byte();
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  }

  since(start: number): number[] {
    return [...this.#bytes.subarray(start, this.at)];
  }
}

/** Takes a module of Binaryen apart. */
export function readCode(binary: Uint8Array): Code {
  const reader = new Reader(binary, 8);
  const head: number[] = [...binary.subarray(0, 8)], tail: number[] = [];
  let functions: Code["functions"] | undefined;
  while (reader.at < binary.length) {
    const start = reader.at, id = reader.byte(), size = reader.number(), end = reader.at + size;
    if (id === CODE_SECTION) {
      functions = Array.from({ length: reader.number() }, () => readFunction(reader));
      if (reader.at !== end) throw new Error(`the code ends at ${reader.at}, wanted ${end}`);
    } else {
      reader.at = end;
      (functions ? tail : head).push(...reader.since(start));
    }
  }
  return { head, tail, functions: functions! };
}

function readFunction(reader: Reader): Code["functions"][number] {
  const size = reader.number(), end = reader.at + size, start = reader.at;
  for (let runs = reader.number(); runs > 0; runs--) {
    reader.number();
    reader.byte();
  }
  const locals = reader.since(start), body: Instruction[] = [];
  while (reader.at < end) {
    const at = reader.at, first = reader.byte();
    const code = first === 0xfc || first === 0xfd ? first << 12 | reader.number() : first;
    if (isWithOpcode(code)) reader.byte();
    const opcode = reader.since(at), from = reader.at;
    const follows = skipOperands(reader, code);
    body.push({ opcode, follows, operands: reader.since(from), last: reader.at === end });
  }
  if (reader.at !== end) throw new Error(`an instruction ends at ${reader.at}, wanted ${end}`);
  return { locals, body };
}

/** Whether the byte after an opcode counts as part of it: types and labels of blocks, alignment of addresses. */
function isWithOpcode(code: number): boolean {
  return (code >= 0x02 && code <= 0x04) || code === 0x0c || code === 0x0d ||
    (code >= 0x28 && code <= 0x3e) || (code >= 0xfd000 && code <= 0xfd00b) ||
    (code >= 0xfd054 && code <= 0xfd05d);
}

/** Opcodes whose operands are numbers: from, to (with it), how many, and which stream. */
const NUMBERS: readonly (readonly [from: number, to: number, n: number, follows: number])[] = [
  [0x10, 0x10, 1, Follows.callee],
  [0x11, 0x11, 2, Follows.rare],
  [0x20, 0x20, 1, Follows.local],
  [0x21, 0x22, 1, Follows.written],
  [0x23, 0x24, 1, Follows.global],
  [0x28, 0x3e, 1, Follows.offset],
  [0x3f, 0x40, 1, Follows.rare],
  [0x41, 0x42, 1, Follows.integer],
  [0xfc00a, 0xfc00a, 2, Follows.rare],
  [0xfc00b, 0xfc00b, 1, Follows.rare],
  [0xfd000, 0xfd00b, 1, Follows.offset],
  [0xfd015, 0xfd022, 1, Follows.rare], // lanes
  [0xfd054, 0xfd05b, 2, Follows.rare],
  [0xfd05c, 0xfd05d, 1, Follows.offset],
];
/** Opcodes with bytes after them, and how many. */
const BYTES: Readonly<Record<number, number>> = { 0x43: 4, 0x44: 8, 0xfd00c: 16, 0xfd00d: 16 };

/** Opcodes that nothing follows, as far as the kernels have them: whatever else comes is an error of the build. */
function isAlone(code: number): boolean {
  return code <= 0x05 || (code >= 0x0b && code <= 0x0d) || code === 0x0f || code === 0x1a ||
    code === 0x1b || (code >= 0x45 && code <= 0xc4) || (code >= 0xfc000 && code <= 0xfc007) ||
    (code >= 0xfd00e && code <= 0xfd014) || (code >= 0xfd023 && code <= 0xfd053) || code >= 0xfd05e;
}

function skipOperands(reader: Reader, code: number): number {
  const numbers = NUMBERS.find(([from, to]) => from <= code && code <= to);
  if (numbers) {
    for (let n = numbers[2]; n > 0; n--) reader.number();
    return numbers[3];
  }
  if (code === 0x0e) { // br_table
    for (let n = reader.number() + 1; n > 0; n--) reader.number();
    return Follows.rare;
  }
  if (BYTES[code] !== undefined) {
    reader.at += BYTES[code];
    return Follows.constant;
  }
  if (!isAlone(code)) throw new Error(`opcode ${code.toString(16)} is not known here`);
  return Follows.nothing;
}
