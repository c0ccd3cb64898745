/** Which pairs dropout keeps, from its definition in docs/features.md. */

/** High and low word of a product of words: numbers below 2⁴⁹, which float64 holds. */
function product(a: number, b: number): [high: number, low: number] {
  const high = (a * Math.floor(b / 2 ** 16) + Math.floor(a * (b % 2 ** 16) / 2 ** 16)) / 2 ** 16;
  return [Math.floor(high), Math.imul(a, b) >>> 0];
}

/** Philox4x32-10 of Salmon et al. 2011: the counter as four words, the key as two. */
export function philox4x32(counter: readonly number[], key: readonly number[]): number[] {
  let [a, b, c, d] = counter as [number, number, number, number];
  for (let round = 0; round < 10; round++) {
    const [first, second] = [product(0xD2511F53, a), product(0xCD9E8D57, c)];
    const low = key[0]! + round * 0x9E3779B9, high = key[1]! + round * 0xBB67AE85;
    a = (second[0] ^ b ^ low % 2 ** 32) >>> 0;
    c = (first[0] ^ d ^ high % 2 ** 32) >>> 0;
    [b, d] = [second[1], first[1]];
  }
  return [a, b, c, d];
}

/** 1 for each pair that is kept, [batch, head, query, key]. */
export function keptPairs(
  { probability, seed }: { readonly probability: number; readonly seed: number | bigint },
  [batches, heads, queries, keys]: readonly [number, number, number, number],
): Uint8Array {
  const threshold = Math.min(Math.round(probability * 2 ** 32), 2 ** 32 - 1);
  const seedWords = [BigInt(seed) % 2n ** 32n, BigInt(seed) / 2n ** 32n].map(Number);
  const kept = new Uint8Array(batches * heads * queries * keys);
  let words: number[] = [];
  kept.forEach((_, n) => {
    const key = n % keys, row = Math.floor(n / keys), plane = Math.floor(row / queries);
    if (key % 8 === 0) {
      const counter = [key / 8, row % queries, plane % heads, Math.floor(plane / heads)];
      words = philox4x32(counter, seedWords);
    }
    const word = words[key % 4]!;
    const draw = key % 8 < 4 ? word : (word % 2 ** 16) * 2 ** 16 + Math.floor(word / 2 ** 16);
    kept[n] = draw < threshold ? 0 : 1;
  });
  return kept;
}
