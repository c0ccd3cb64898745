/** The text a model trains on: the held-out part, batches, and how hard the text is. */
import type { Random } from "./random.ts";

/** Share of the text that is never trained on, taken from its end. */
const HELD_OUT_SHARE = 0.1;
/** And never more than this, so that reading it takes a fraction of a second. */
const MOST_HELD_OUT = 16 * 1024;
/** Below this, the held-out part is too short to say anything. */
const LEAST_BYTES = 512;

export interface Text {
  /** What was read, for people. */
  name: string;
  bytes: Uint8Array;
  training: Uint8Array;
  heldOut: Uint8Array;
}

/** Bytes to read, and for each the byte that follows it. */
export interface Batch {
  tokens: Uint8Array;
  targets: Uint8Array;
}

/** Takes the held-out part off the end of a text. Throws a sentence for people where it is too short. */
export function splitText(
  name: string,
  bytes: Uint8Array,
  context: number,
): Text {
  const split = bytes.length -
    Math.min(MOST_HELD_OUT, Math.floor(bytes.length * HELD_OUT_SHARE));
  const wanted = Math.max(
    LEAST_BYTES,
    Math.ceil((context + 2) / (1 - HELD_OUT_SHARE)),
  );
  if (bytes.length < wanted) {
    throw new RangeError(
      `Cannot train on ${name}: it holds ${bytes.length} bytes, but a context of ${context} needs ` +
        `at least ${wanted}. Take a longer text` +
        (wanted > LEAST_BYTES ? " or a smaller context" : ""),
    );
  }
  return {
    name,
    bytes,
    training: bytes.subarray(0, split),
    heldOut: bytes.subarray(split),
  };
}

/** `count` pieces of `length` bytes from random places, end to end. */
export function randomBatch(
  bytes: Uint8Array,
  count: number,
  length: number,
  random: Random,
): Batch {
  const tokens = new Uint8Array(count * length),
    targets = new Uint8Array(count * length);
  for (let piece = 0; piece < count; piece++) {
    const from = random.below(bytes.length - length);
    tokens.set(bytes.subarray(from, from + length), piece * length);
    targets.set(bytes.subarray(from + 1, from + 1 + length), piece * length);
  }
  return { tokens, targets };
}

/** The bytes cut into pieces of at most `length`, each with its targets. */
export function piecesInOrder(bytes: Uint8Array, length: number): Batch[] {
  const pieces: Batch[] = [];
  for (let from = 0; from + 1 < bytes.length; from += length) {
    const to = Math.min(from + length, bytes.length - 1);
    pieces.push({
      tokens: bytes.subarray(from, to),
      targets: bytes.subarray(from + 1, to + 1),
    });
  }
  return pieces;
}

/** Entropy of a byte on its own, and of a byte when the one before is known, in nats per byte. */
export function entropies(
  bytes: Uint8Array,
): { unigram: number; bigram: number } {
  const singles = new Float64Array(256), pairs = new Float64Array(256 * 256);
  const firsts = new Float64Array(256);
  for (const byte of bytes) singles[byte]!++;
  for (let i = 1; i < bytes.length; i++) {
    const first = bytes[i - 1]!, second = bytes[i]!;
    pairs[first * 256 + second]!++;
    firsts[first]!++;
  }
  return {
    unigram: entropy(singles),
    bigram: entropy(pairs) - entropy(firsts),
  };
}

function entropy(counts: Float64Array): number {
  const total = counts.reduce((sum, n) => sum + n, 0);
  let nats = 0;
  for (const n of counts) if (n > 0) nats -= n / total * Math.log(n / total);
  return nats;
}
