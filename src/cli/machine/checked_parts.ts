// The parts of `check`: what is asked of each engine.
import type { CheckedBackward, CheckedForward, CheckOptions } from "../../check.ts";
import { CHECKED_OPTIONS } from "../../check/problem.ts";
import type { Engine } from "../../engine/engine.ts";
import type { AttentionResult } from "../../problem/call_options.ts";
import type { HostTensor, Tensor } from "../../tensor/tensor.ts";
import { uniforms } from "../../tensor/random.ts";

/** A part. */
export interface CheckedPart {
  readonly name: string;
  readonly options: CheckOptions;
  /** What differs on a GPU in software: see `FEW_KERNELS`. */
  readonly inSoftware: CheckOptions;
}

/** Storage in 16 bits: the same problems in either type. */
const SIXTEEN_BITS: CheckOptions = { sizes: { headDim: [20] }, options: ["causal"], problems: 5 };

/**
 * Sizes that share their kernels, and have none of decode. A GPU in software takes its time to compile, 3 to 10 s a kernel on
 * SwiftShader, which keeps none: with the sizes of other engines passes took 132 s, and decode had not ended after 280.
 */
const FEW_KERNELS: NonNullable<CheckOptions["sizes"]> = {
  ...{ batch: [2], kvHeads: [1, 2], groups: [2], lengthQ: [9, 33, 70], lengthK: [17, 40, 65] },
  headDim: [20],
};
/** Options that change kernels; all at once they cost one more set. */
const TOGETHER = CHECKED_OPTIONS.filter((name) =>
  name !== "largeScores" && name !== "causalTopLeft"
);

/** All parts. */
export const CHECKED_PARTS: readonly CheckedPart[] = [
  {
    name: "passes",
    options: { sizes: { headDim: [15, 20] }, options: ["causal", "largeScores"], problems: 8 },
    inSoftware: { sizes: FEW_KERNELS, problems: 6 },
  },
  {
    name: "tiles", // more than one tile along both lengths
    options: {
      sizes: {
        ...{ batch: [1], kvHeads: [1], groups: [1], lengthQ: [131, 147], lengthK: [157] },
        headDim: [80],
      },
      ...{ options: ["causal"], problems: 6 },
    },
    inSoftware: {},
  },
  {
    name: "decode", // few queries, many keys, grouped heads
    options: {
      sizes: {
        ...{ batch: [1, 2], kvHeads: [1, 2], groups: [2, 4], lengthQ: [1, 2, 5] },
        ...{ lengthK: [1, 200, 389], headDim: [64] },
      },
      ...{ options: ["causal", "keyLengths"], problems: 8 },
    },
    inSoftware: {
      sizes: { ...FEW_KERNELS, lengthQ: [1, 5], lengthK: [200, 389] },
      problems: 4 + 2, // four without options, each alone
    },
  },
  // four without options, each alone twice, then several at once; one head dimension, as a GPU compiles kernels for each
  {
    name: "options",
    options: {
      ...{ sizes: { headDim: [20] }, options: CHECKED_OPTIONS },
      problems: 8 + 2 * CHECKED_OPTIONS.length,
    },
    inSoftware: { sizes: FEW_KERNELS, problems: 4 + CHECKED_OPTIONS.length },
  },
  {
    name: "together",
    options: { sizes: { headDim: [20] }, options: [], always: TOGETHER, problems: 4 },
    inSoftware: { sizes: FEW_KERNELS, problems: 2 },
  },
  ...(["f16", "bf16"] as const).map((storage): CheckedPart => ({
    name: storage,
    options: { ...SIXTEEN_BITS, storage },
    inSoftware: { sizes: FEW_KERNELS, problems: 3 },
  })),
];

/** The calls of an engine: host tensors in float32, resident ones in 16 bits. */
export function functionsOn(engine: Engine, storage: CheckOptions["storage"] = "f32"): {
  readonly forward: CheckedForward<AttentionResult<HostTensor> | AttentionResult<Tensor>>;
  readonly backward: CheckedBackward<AttentionResult<HostTensor> | AttentionResult<Tensor>>;
} {
  if (storage === "f32") {
    return {
      forward: (q, k, v, options) => engine.attention(q, k, v, options),
      backward: (dOut, saved, options) => engine.attentionBackward(dOut, saved, options),
    };
  }
  const stored = (tensor: HostTensor): Tensor => engine.tensor(tensor, storage);
  return {
    forward: (q, k, v, options) => engine.attention(stored(q), stored(k), stored(v), options),
    backward: (dOut, { q, k, v, ...results }, options) => {
      const saved = { ...results, q: stored(q), k: stored(k), v: stored(v) };
      return engine.attentionBackward(stored(dOut), saved, options);
    },
  };
}

/** Work enough for threads to be started: from then on they take part in small calls. */
export async function warmThreads(engine: Engine): Promise<void> {
  const [length, heads, headDim] = [512, 8, 64], shape = [1, length, heads, headDim];
  const x = { data: uniforms(1, length * heads * headDim), shape };
  for (let n = 0; n < 2; n++) await engine.attention(x, x, x);
}
