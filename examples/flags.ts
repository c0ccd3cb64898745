/** Values of command line flags, checked with a sentence for people. */

/** Most seconds that a timer waits: of more it makes a millisecond. */
export const MOST_SECONDS = 2_000_000;

/** A whole number of at least `least`. */
export function whole(
  flag: string,
  text: string | undefined,
  fallback: number,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  const value = text === undefined ? fallback : Number(text);
  if (!Number.isSafeInteger(value) || value < least || value > most || text?.trim() === "") {
    const limit = most < Number.MAX_SAFE_INTEGER ? `, at most ${most}` : "";
    throw new RangeError(
      `Cannot use --${flag} ${text}: expected a whole number, at least ${least}${limit}`,
    );
  }
  return value;
}

/** A number above 0. */
export function positive(
  flag: string,
  text: string | undefined,
  fallback: number,
  most: number = Infinity,
): number {
  const value = text === undefined ? fallback : Number(text);
  if (!(value > 0 && value < Infinity && value <= most)) {
    const limit = most < Infinity ? `, at most ${most}` : "";
    throw new RangeError(`Cannot use --${flag} ${text}: expected a number above 0${limit}`);
  }
  return value;
}

/** A number from 0 up. */
export function atLeastZero(flag: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (!(value >= 0 && value < Infinity) || text?.trim() === "") {
    throw new RangeError(`Cannot use --${flag} ${text}: expected a number, at least 0`);
  }
  return value;
}

/** One of a few words; the first is the default. */
export function oneOf<T extends string>(
  flag: string,
  text: string | undefined,
  words: readonly [T, ...T[]],
): T {
  if (text === undefined) return words[0];
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  const list = `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  throw new RangeError(`Cannot use --${flag} ${text}: expected ${list}`);
}
