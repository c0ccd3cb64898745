// Seeded random numbers: the same on every machine, so that a seed says what was asked.

/** A generator of numbers in [0, 1). */
export type Random = () => number;

/** 32 bits, mixed well enough that neighbours have nothing in common (MurmurHash3's last step). */
function mix(bits: number): number {
  let mixed = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** The seed of something that has a name, below another seed. */
export function seedOf(seed: number, name: string): number {
  let hash = mix(seed ^ 0x9e3779b9);
  for (let n = 0; n < name.length; n++) hash = mix(hash ^ name.charCodeAt(n));
  return hash;
}

/** Numbers from a seed. */
export function randomNumbers(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    return mix(state) / 2 ** 32;
  };
}

/** An integer from `low` to `high`, both possible. */
export function integer(random: Random, low: number, high: number): number {
  return low + Math.floor(random() * (high - low + 1));
}

/** `count` normal numbers of mean 0 and the deviation given (Box and Muller). */
export function normals(seed: number, count: number, deviation = 1): Float64Array {
  const random = randomNumbers(seed);
  return new Float64Array(count).map(() =>
    deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  );
}

/** `count` numbers from -1 to 1. */
export function uniforms(seed: number, count: number): Float32Array {
  const random = randomNumbers(seed);
  return new Float32Array(count).map(() => 2 * random() - 1);
}
