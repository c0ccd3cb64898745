// Results as lines to read.

/** A table: columns as wide as their widest cell, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, n) =>
    Math.max(title.length, ...rows.map((row) => row[n]!.length))
  );
  const right = head.map((_, n) => rows.every((row) => /^[-\d.]|^$/.test(row[n]!)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, n) => right[n] ? cell.padStart(widths[n]!) : cell.padEnd(widths[n]!))
      .join("  ").trimEnd();
  return [line(head), ...rows.map(line)].join("\n");
}

/** Names and what they are, one a line. */
export function list(entries: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

/** `1.5 MiB`. */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** unit;
  return `${unit > 0 && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A few digits: 1234, 56.7, 0.00123. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 100) return Math.round(value).toString();
  return Number(value.toPrecision(3)).toString();
}

/** Milliseconds, or seconds where they are many. */
export function timeText(ms: number): string {
  return ms < 1000 ? `${digits(ms)} ms` : `${digits(ms / 1000)} s`;
}
