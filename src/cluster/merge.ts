// Results over disjoint keys as one.
import type { Engine } from "../engine/engine.ts";
import type { AttentionResult } from "../problem/call_options.ts";
import type { HostTensor } from "../tensor/tensor.ts";

/** Results over disjoint keys as one. Packed rows are one sequence to the merge. */
export function mergeParts(
  engine: Engine,
  parts: readonly Pick<AttentionResult, "out" | "lse">[],
  layout: "bshd" | "bhsd",
): { out: HostTensor; lse: HostTensor } {
  const { out: { shape }, lse: { shape: rows } } = parts[0]!;
  const packed = shape.length === 3;
  const lifted = (tensor: HostTensor) =>
    packed ? { ...tensor, shape: [1, ...tensor.shape] } : tensor;
  const { out, lse } = engine.mergeAttention(
    parts.map(({ out, lse }) => ({ out: lifted(out), lse: lifted(lse) })),
    { layout: packed ? "bshd" : layout },
  );
  return { out: { ...out, shape }, lse: { ...lse, shape: rows } };
}
