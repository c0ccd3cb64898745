// The binding number of every buffer, the same in all kernels: a kernel declares those that it uses. Kernels and
// dispatches name buffers; no number stands anywhere else.
import { OPERAND_NAMES, type OperandName, shaderName } from "../../src/tensor/operands.ts";

/** Buffers that are no operands: rows of backward, sums of captured arrays, KV splits, those of elementwise kernels, and tables of rotations. */
const SCRATCH = [
  "stats",
  "rowSums",
  "slots",
  "rowStatistics",
  "partOut",
  "partLse",
  "partStatistics",
  "source",
  "result",
  "rotations",
] as const;

/** A storage buffer that a kernel may bind. `schedule`: sequences, work items, and small inputs behind them. */
export type BufferName = "schedule" | OperandName | typeof SCRATCH[number];

/** Sparse numbers are legal: layouts hold only what a kernel declares. */
const NAMES: readonly BufferName[] = ["schedule", ...OPERAND_NAMES, ...SCRATCH];

/** Binding of the uniform block. */
export const UNIFORM_BINDING = 0;

const NUMBERS: ReadonlyMap<BufferName, number> = new Map(
  NAMES.map((name, index) => [name, UNIFORM_BINDING + 1 + index]),
);

/** The binding number of a buffer. */
export function bindingOf(name: BufferName): number {
  return NUMBERS.get(name)!;
}

/** The buffer of a binding number. */
export function bufferAt(binding: number): BufferName {
  return NAMES[binding - UNIFORM_BINDING - 1]!;
}

/** Declares a buffer in WGSL, under its shader name. */
export function declare(
  name: BufferName,
  type: string,
  access: "read" | "read_write" = "read",
): string {
  return `@group(0) @binding(${bindingOf(name)}) var<storage, ${access}> ${
    shaderName(name)
  }: array<${type}>;`;
}
