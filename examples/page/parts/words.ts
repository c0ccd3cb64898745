// Quantities in words, the same everywhere on the page.

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/** Three digits at most: 1.37, 24.1, 512. */
export function digits3(value: number): string {
  if (value === 0) return "0";
  if (value >= 1000) return `${Math.round(value)}`;
  return `${Number(value.toPrecision(3))}`;
}

/** Bytes: "512 bytes", "36 MiB". */
export function bytes(value: number): string {
  const power = value < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  return `${digits3(value / 1024 ** power)} ${UNITS[power]}`;
}

/** A duration given in milliseconds: "0.8 ms", "1.4 s", "2 min 5 s". */
export function duration(ms: number): string {
  if (ms < 1000) return `${digits3(ms)} ms`;
  if (ms < 60_000) return `${digits3(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A count, grouped by a narrow space: 16 384. */
export function count(value: number): string {
  return `${value}`.replaceAll(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** "1 thread", "2 threads". */
export function plural(
  n: number,
  one: string,
  many: string = `${one}s`,
): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
