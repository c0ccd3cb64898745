// The kernels from their text (tools/build/kernel_text), compiled apart from them: small, and run once. Written for a
// compiler that optimises nothing, as it is over before any other has looked at it. src/wasm/module/unpack_anywhere.ts
// is the same for hosts where nothing can be compiled.

/** Memory: a value for each character, where each stream is, symbols; then the text, then what is made of it. */
const STREAMS: usize = 128;
const TABLE: usize = 192;
/** Streams: opcodes, locals of functions, copies, table, head, tail. Those between belong to symbols. */
const OPCODES: usize = 128;
const LOCALS: usize = 164;
const COPIES: usize = 168;
const SYMBOLS: usize = 172;
const HEAD: usize = 176;
const TAIL: usize = 180;
const END: usize = 184;
/** A symbol: four bytes of its opcode, how many they are, stream, count, and these bits. */
const SYMBOL: usize = 8;
const ENDS: u32 = 1 << 24;
const RAW: u32 = 2 << 24;
const COPY: u32 = 4 << 24;
const ESCAPE: u32 = 89;
const BASE: u32 = 89;

/** The next byte of a stream. */
function next(stream: usize): u32 {
  let at: usize = load<u32>(stream);
  let value: u32 = load<u8>(load<u8>(at));
  if (value == ESCAPE) {
    value = <u32>load<u8>(load<u8>(at, 1)) << 4 | <u32>load<u8>(load<u8>(at, 2));
    at += 2;
  }
  store<u32>(stream, <u32>at + 1);
  return value;
}

/** All of a stream, as it is. */
function copyStream(stream: usize, to: usize): usize {
  const end = load<u32>(stream, 4);
  while (load<u32>(stream) < end) store<u8>(to++, <u8>next(stream));
  return to;
}

function number(n: i32): u32 {
  let value: u32 = 0;
  for (; n > 0; n--) value = value * BASE + next(COPIES);
  return value;
}

function readSymbols(): void {
  for (let symbol = TABLE, end = TABLE + <usize>next(SYMBOLS) * SYMBOL; symbol < end; symbol += SYMBOL) {
    const n = next(SYMBOLS);
    for (let i: u32 = 0; i < n; i++) store<u8>(symbol + i, next(SYMBOLS));
    store<u8>(symbol, n, 4);
    store<u8>(symbol, STREAMS + 4 * next(SYMBOLS), 5);
    store<u8>(symbol, next(SYMBOLS), 6);
    store<u8>(symbol, next(SYMBOLS), 7);
  }
}

function readLocals(to: usize): usize {
  let runs = next(LOCALS);
  store<u8>(to++, runs);
  for (; runs > 0; runs--) {
    let byte: u32;
    do {
      byte = next(LOCALS);
      store<u8>(to++, byte);
    } while (byte > 127);
    store<u8>(to++, next(LOCALS));
  }
  return to;
}

/** Instructions up to the end of a function. */
function readBody(to: usize): usize {
  let bits: u32, at = load<u32>(OPCODES);
  do {
    let value: u32 = load<u8>(load<u8>(at++));
    if (value == ESCAPE) {
      value = <u32>load<u8>(load<u8>(at)) << 4 | <u32>load<u8>(load<u8>(at, 1));
      at += 2;
    }
    const symbol = TABLE + <usize>value * SYMBOL;
    store<u32>(to, load<u32>(symbol));
    bits = load<u32>(symbol, 4); // one load for all that is said of it
    to += bits & 255;
    let n = bits >> 16 & 255;
    if (!n) {
      if (bits & COPY) {
        const distance = number(3);
        n = number(2);
        memory.copy(to, to - distance, n);
        to += n;
      }
      continue;
    }
    const stream = <usize>(bits >> 8 & 255);
    let from = load<u32>(stream);
    do {
      value = load<u8>(load<u8>(from++));
      if (value == ESCAPE) {
        value = <u32>load<u8>(load<u8>(from)) << 4 | <u32>load<u8>(load<u8>(from, 1));
        from += 2;
      }
      store<u8>(to++, value);
      if (value < 128 || bits & RAW) n--;
    } while (n);
    store<u32>(stream, from);
  } while (!(bits & ENDS));
  store<u32>(OPCODES, at);
  return to;
}

/** Writes the module after the text, whose end the streams say; returns how many bytes it has. */
export function unpack(functions: i32): u32 {
  for (let c: u32 = 0; c < 128; c++) store<u8>(c, c - 37);
  store<u8>(32, 60 - 37);
  store<u8>(33, 92 - 37);
  store<u8>(35, 96 - 37);
  readSymbols();
  const start: usize = load<u32>(END);
  let to = copyStream(HEAD, start);
  store<u8>(to++, 10);
  const code = to;
  to += 3;
  store<u16>(to, (functions & 127 | 128) | (functions >> 7) << 8);
  to += 2;
  for (; functions > 0; functions--) {
    const body = to + 2;
    to = readBody(readLocals(body));
    const size = to - body;
    store<u16>(body - 2, (size & 127 | 128) | size >> 7 << 8);
  }
  const size = to - code - 3;
  store<u16>(code, (size & 127 | 128) | (size >> 7 & 127 | 128) << 8);
  store<u8>(code, size >> 14, 2);
  return <u32>(copyStream(TAIL, to) - start);
}
