// The tensors among the options of a call over host tensors.
import type { CallOptions, SavedForBackward } from "../../problem/call_options.ts";
import type { HostTensor, MaskTensor } from "../../tensor/tensor.ts";
import { toWire, type WireType } from "../wire/narrow.ts";

/** What does not travel in fewer bits: logarithms, bytes, integers, tables, and what is small. */
const AS_IT_IS: ReadonlySet<string> = new Set([
  "lse",
  "dLse",
  "sink",
  "alibiSlopes",
  "mask",
  "positionsQ",
  "positionsK",
  "cos",
  "sin",
]);

/** An operand as it travels. */
export function operandToWire(
  name: string,
  tensor: HostTensor | MaskTensor,
  wire: WireType,
): HostTensor | MaskTensor {
  return AS_IT_IS.has(name) ? tensor : toWire(tensor as HostTensor, wire);
}

/** Tensors among the options, by name. */
export function optionTensors(
  { bias, mask, sink, alibiSlopes }: CallOptions,
): Record<string, unknown> {
  return { bias, mask, sink, alibiSlopes };
}

/** The tensor that each gradient of a call is like. */
export function gradientLikes(
  { q, k, v }: SavedForBackward,
  { bias, alibiSlopes, sink }: CallOptions,
): Record<string, HostTensor> {
  const all = { dq: q, dk: k, dv: v, dBias: bias, dAlibiSlopes: alibiSlopes, dSink: sink };
  return Object.fromEntries(
    Object.entries(all).filter(([, tensor]) => tensor !== undefined),
  ) as Record<string, HostTensor>;
}
