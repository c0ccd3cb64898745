/**
 * Plain text tables and number formats for the terminal.
 * @module
 */

/** Prints rows under a title: first column to the left, the others to the right. */
export function printTable(
  title: string,
  head: readonly string[],
  rows: readonly string[][],
): void {
  console.log(`\n${title}`);
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => (row[i] ?? "").length)));
  const line = (row: readonly string[]) =>
    widths.map((w, i) => i ? (row[i] ?? "").padStart(w) : (row[i] ?? "").padEnd(w)).join("  ");
  console.log(line(head));
  console.log(widths.map((w) => "-".repeat(w)).join("  "));
  for (const row of rows) console.log(line(row));
}

/** One line when a case ends; the tables come when all have. */
export function printProgress(title: string, times: readonly (readonly string[])[]): void {
  const seconds = (performance.now() / 1000).toFixed(1);
  console.log(`${seconds} s  ${title}: ${times.map((of) => of.join(" ")).join(", ")}`);
}

/** Three significant digits, and never an exponent for the sizes that occur here. */
export function digits3(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Number(value.toPrecision(3)).toString();
}

type Format = (value: number) => string;
const known = (format: Format): Format => (value) => Number.isFinite(value) ? format(value) : "–";

export const milliseconds: Format = known((ms) => `${digits3(ms)} ms`);
export const percent: Format = known((share) => `${(share * 100).toFixed(0)} %`);
export const times: Format = known((ratio) => `${ratio.toFixed(2)}×`);
export const mebibytes: Format = known((bytes) => `${digits3(bytes / 2 ** 20)} MiB`);
