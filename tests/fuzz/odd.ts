/** Arguments as no program means them, for what the fuzzer has found. */

/** Arguments that no type lets through. */
export const any = <T = never>(value: unknown): T => value as T;

/** An object one of whose properties says `first` when it is asked for the first time, then something else. */
export function changing<T extends object>(object: T, name: keyof T, later: unknown): T {
  let reads = 0;
  const first = object[name];
  return Object.defineProperty({ ...object }, name, { get: () => reads++ === 0 ? first : later });
}
