// Writing WGSL: repetition, and what every kernel says in the same words.

/** `each(n, line)`: the lines line(0) .. line(n - 1). */
export function each(n: number, line: (index: number) => string): string {
  return Array.from({ length: n }, (_, index) => line(index)).join("\n");
}

/** Components of a vec4. */
export const XYZW = ["x", "y", "z", "w"] as const;

/** Numbers as WGSL writes them: exp2 and log2 are what GPUs have. */
export const LOG2E = "1.4426950408889634";
/** ln 2. */
export const LN2 = "0.6931471805599453";

/** Score of a hidden pair, and the first row maximum: exp2(HIDDEN - FLOOR) is 0 without a select. */
export const SENTINELS = `const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;`;

/** The lowest f32, and what stands for lse of a row without a key: every P of it is 0. */
export const LOWEST = "-3.4028234e38";
export const EMPTY_LSE = "3.4028234e38";
/** An lse of this size is rounded so far in f32 that weights change by 5e-4; see kernels/row_state.ts. */
export const LARGE = "8192.0";

/** Drops empty lines and trailing blanks. */
export function tidy(text: string): string {
  return text.split("\n").map((line) => line.trimEnd()).filter((line) => line !== "").join("\n") +
    "\n";
}
