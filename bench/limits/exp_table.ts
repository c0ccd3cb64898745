/**
 * Constants of the benches' own vector 2^x, four equal lanes each, in the order the kernels read:
 * smallest argument, rounding constant, then the polynomial from degree 5 down to 0.
 *
 * The polynomial is a least-maximum fit of 2^f on [-1/2, 1/2] (relative error 7.5e-8 before
 * rounding). 1.5·2^23 rounds a small number to an integer; the 127 added to it is the exponent bias.
 * @module
 */

const CONSTANTS = [
  -127,
  1.5 * 2 ** 23 + 127,
  1.32764725e-3,
  9.67554189e-3,
  5.55071309e-2,
  2.40221202e-1,
  6.93146944e-1,
  1.00000012,
];

export const EXP_TABLE_BYTES: number = CONSTANTS.length * 16;

/** Writes the table at a byte address divisible by 16. */
export function writeExpTable(memory: WebAssembly.Memory, address: number): void {
  const lanes = new Float32Array(memory.buffer, address, CONSTANTS.length * 4);
  CONSTANTS.forEach((value, i) => lanes.fill(value, i * 4, i * 4 + 4));
}
