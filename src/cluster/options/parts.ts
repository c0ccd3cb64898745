// Options of a call over host tensors whose keys, or heads, are split over nodes: what each part is sent so that options mean
// the same there, and where its results belong.
import type { BackwardCallOptions, CallOptions, Layout } from "../../problem/call_options.ts";
import type { FeatureName } from "../../problem/features/feature.ts";
import type { AttentionProblem } from "../../problem/problem.ts";
import { UnsupportedError } from "../../tensor/errors.ts";
import type { HostTensor, MaskTensor } from "../../tensor/tensor.ts";
import type { Place } from "../wire/requests.ts";
import type { Run, Split } from "../split.ts";
import { sliceAxis } from "../wire/slices.ts";

/** A tensor of a call in host memory. */
export type Operand = HostTensor | MaskTensor;
type Rule = "sent" | "spans" | "sliced" | "first part" | "with positions" | {
  readonly refused: string;
};

const inOneEngine = { refused: "compute it in one engine" };

/** What becomes of each option. `spans`: it says which keys a query sees, and travels as that. */
const HOW: { readonly [name in FeatureName]: Rule } = {
  softcap: "sent",
  causal: "spans",
  window: "spans",
  keyLengths: "spans",
  cuSeqlensQ: "sent",
  cuSeqlensK: "sliced",
  alibiSlopes: "sent",
  bias: "sliced",
  mask: "sliced",
  sink: "first part",
  rotary: "with positions",
  scoreMod: inOneEngine,
  maskMod: inOneEngine,
  blockMask: inOneEngine,
  dropout: inOneEngine,
  sequences: { refused: "pass a cache of the cluster" },
};

/** Nodes compute in f32: not all of one cluster need have more. */
export function refusePrecision({ precision = "f32" }: CallOptions): void {
  if (precision === "f32") return;
  const remedy = "leave precision out: nodes compute in f32";
  throw new UnsupportedError(
    `precision "${precision}" of a call over a cluster`,
    "cluster",
    remedy,
  );
}

/** Throws where an option cannot be split. */
export function refuseSplit(options: BackwardCallOptions, split: Split): void {
  const refuse = (name: string, remedy: string) => {
    throw new UnsupportedError(`${name} of a call over a cluster`, "cluster", remedy);
  };
  for (const [name, how] of Object.entries(HOW)) {
    if (options[name as FeatureName] !== undefined && typeof how === "object") {
      refuse(name, how.refused);
    }
  }
  for (const name of ["stats", "into", "dEntropy"] as const) {
    if (options[name] !== undefined) refuse(name, inOneEngine.refused);
  }
  refusePrecision(options);
  if (options.alibiSlopes && !options.causal && split !== "heads") {
    refuse("alibiSlopes without causal", "split by heads");
  }
}

/** One run as it travels: plain options, the tensors among them, and where its gradients belong. */
export interface RunPlan {
  readonly options: Readonly<Record<string, unknown>>;
  readonly operands: Readonly<Record<string, Operand>>;
  readonly places: Readonly<Record<string, Place>>;
}

/** A checked call to be split. */
export interface SplitCall {
  readonly problem: AttentionProblem;
  readonly options: CallOptions;
  readonly k: HostTensor;
  readonly v: HostTensor;
}

/** A list as JSON has it. */
export function plainList(list: ArrayLike<number> | undefined): number[] | undefined {
  return list && Array.from(list);
}

/** Axes of an operand of queries, or of keys. */
export function axesOf(
  layout: Layout,
  packed: boolean,
): { readonly rows: number; readonly heads: number } {
  if (packed) return { rows: 0, heads: 1 };
  return layout === "bhsd" ? { rows: 2, heads: 1 } : { rows: 1, heads: 2 };
}

/** A slice of an axis that broadcasts where it has one element; undefined: it is not there or repeats. */
export function sliceOf(tensor: Operand, axis: number, { from, to }: Run): Operand | undefined {
  if (axis < 0 || tensor.shape[axis] === 1) return undefined;
  return sliceAxis(tensor, axis, from, to);
}

/** The options of a part's own call, from what travelled. */
export function partOptions(
  options: Readonly<Record<string, unknown>>,
  operands: Readonly<Record<string, HostTensor | undefined>>,
): CallOptions {
  const { rotary, ...rest } = options as CallOptions;
  const { bias, mask, sink, alibiSlopes, positionsQ, positionsK, cos, sin } = operands;
  const list = (tensor: HostTensor) => tensor.data as Int32Array;
  return {
    ...rest,
    ...bias && { bias },
    ...mask && { mask: mask as MaskTensor },
    ...sink && { sink },
    ...alibiSlopes && { alibiSlopes },
    ...rotary && {
      rotary: {
        ...rotary,
        ...positionsQ && { positionsQ: list(positionsQ) },
        ...positionsK && rotary.keys !== false && { positionsK: list(positionsK) },
        ...cos && { cos: cos.shape.length === 1 ? cos.data as Float32Array : cos as HostTensor },
        ...sin && { sin: sin.shape.length === 1 ? sin.data as Float32Array : sin as HostTensor },
      },
    },
  };
}
