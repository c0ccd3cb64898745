/** Seeded random numbers: the same everywhere and for ever, so that a case is its name. */

/** A 32-bit hash of a text (FNV-1a). */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let n = 0; n < text.length; n++) {
    hash = Math.imul(hash ^ text.charCodeAt(n), 0x01000193);
  }
  return hash >>> 0;
}

/** A generator of numbers in [0, 1): a Weyl sequence, mixed. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** `count` normal numbers of mean 0 and variance 1 (Box–Muller), times `amplitude`. */
export function normalNumbers(
  seed: number,
  count: number,
  amplitude = 1,
): Float64Array<ArrayBuffer> {
  const random = randomNumbers(seed), numbers = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    const radius = amplitude * Math.sqrt(-2 * Math.log(1 - random()));
    numbers[n] = radius * Math.cos(2 * Math.PI * random());
  }
  return numbers;
}
