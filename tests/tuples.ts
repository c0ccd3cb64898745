/** `map` of a tuple, whose result is a tuple too: `const [a, b] = mapTuple([x, y], f)`. */
export function mapTuple<const T extends readonly unknown[], R>(
  tuple: T,
  to: (item: T[number], index: number) => R,
): { -readonly [n in keyof T]: R } {
  return tuple.map(to) as { -readonly [n in keyof T]: R };
}
