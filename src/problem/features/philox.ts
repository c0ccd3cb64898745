// Philox4x32-10 (Salmon et al. 2011), as the kernels of both backends have it: which pairs dropout keeps.

/** Four words of 32 bits. */
type Words = readonly [number, number, number, number];

/** The two words of a product of 32-bit numbers. */
function multiply(a: number, b: number): readonly [high: number, low: number] {
  const al = a & 0xffff, ah = a >>> 16, bl = b & 0xffff, bh = b >>> 16;
  const middle = ah * bl + ((al * bl) >>> 16), other = al * bh + (middle & 0xffff);
  return [ah * bh + (middle >>> 16) + (other >>> 16), Math.imul(a, b) >>> 0];
}

/** What a counter becomes under a key. */
export function philox(counter: Words, [low, high]: readonly [number, number]): Words {
  let [x0, x1, x2, x3] = counter;
  for (let round = 0; round < 10; round++) {
    const [aHigh, aLow] = multiply(x0, 0xd2511f53), [bHigh, bLow] = multiply(x2, 0xcd9e8d57);
    x0 = (bHigh ^ x1 ^ low) >>> 0;
    x1 = bLow;
    x2 = (aHigh ^ x3 ^ high) >>> 0;
    x3 = aLow;
    low = (low + 0x9e3779b9) >>> 0;
    high = (high + 0xbb67ae85) >>> 0;
  }
  return [x0, x1, x2, x3];
}

/** A pair is dropped where its draw is below this. */
export function thresholdOf(probability: number): number {
  return Math.min(2 ** 32 - 1, Math.round(probability * 2 ** 32));
}

/** The draws of the keys 8 * group + 0 .. 7 of a query: the words, and the words with their halves exchanged. */
export function drawsOf(
  seed: readonly [number, number],
  batch: number,
  head: number,
  query: number,
  group: number,
): readonly number[] {
  const words = philox([group, query, head, batch], seed);
  return [...words, ...words.map((word) => ((word << 16) | (word >>> 16)) >>> 0)];
}
