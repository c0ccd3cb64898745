/** Numbers from -1 to 1 that follow from a seed (mulberry32). */
export function randomNumbers(count: number, seed: number): Float32Array {
  let state = seed * 0x9e3779b9 | 0;
  return Float32Array.from({ length: count }, () => {
    state = state + 0x6d2b79f5 | 0;
    let x = Math.imul(state ^ state >>> 15, state | 1);
    x ^= x + Math.imul(x ^ x >>> 7, x | 61);
    return ((x ^ x >>> 14) >>> 0) / 2 ** 31 - 1;
  });
}
