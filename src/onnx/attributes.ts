// Attributes of the operator, and what they mean here.
import type { ScoreStage } from "../problem/inside_options.ts";
import { checkScalar } from "../problem/features/scalar.ts";
import { type Complaint, show } from "../tensor/errors.ts";
import { checkNames } from "./names.ts";

/** Attributes of `onnxAttention`, by the names that the operator has for them. INT attributes may be bigints. */
export interface OnnxAttentionAttributes {
  /**
   * 1 (or `true`): query i sees key j only where `j <= i + offset`. The offset is the length of `past_key`; with
   * `nonpad_kv_seqlen` it is, for each sequence, that length less `q_sequence_length`; else 0. Default 0.
   */
  readonly is_causal?: number | bigint | boolean | undefined;
  /** Heads of K and V. Needed with inputs of rank 3; of rank 4 it must be what their shapes say. */
  readonly kv_num_heads?: number | bigint | undefined;
  /** Heads of Q, a multiple of `kv_num_heads`. Needed with inputs of rank 3; of rank 4 it must be what its shape says. */
  readonly q_num_heads?: number | bigint | undefined;
  /**
   * What `qk_matmul_output` is: 0 the scaled product of Q and K, 1 the same after `softcap`, 2 after masks too (minus
   * infinity at pairs that are hidden), 3 the probabilities (0 there). Default 0.
   */
  readonly qk_matmul_output_mode?: number | bigint | undefined;
  /** Factor of the scores. Default `1 / sqrt(head_size)`. */
  readonly scale?: number | undefined;
  /** `s = softcap * tanh(s / softcap)`, before any mask. Default 0, which is none. */
  readonly softcap?: number | undefined;
  /**
   * The type in which the softmax is computed, as ONNX numbers types: 1 float, 10 float16, 11 double, 16 bfloat16. It is
   * computed in float32 whichever is named.
   */
  readonly softmax_precision?: number | bigint | undefined;
}

/** Attributes, checked. */
export interface Attributes {
  readonly causal: boolean;
  readonly queryHeads: number | undefined;
  readonly kvHeads: number | undefined;
  /** What `qk_matmul_output` shows. */
  readonly stage: ScoreStage;
  readonly scale: number | undefined;
  readonly softcap: number | undefined;
}

const NAMES = [
  "is_causal",
  "kv_num_heads",
  "q_num_heads",
  "qk_matmul_output_mode",
  "scale",
  "softcap",
  "softmax_precision",
] as const satisfies (keyof OnnxAttentionAttributes)[];

/** Stages by `qk_matmul_output_mode`. */
const STAGES: readonly ScoreStage[] = ["raw", "softcapped", "masked", "probabilities"];

/** Values of `softmax_precision`. */
const PRECISIONS = [1, 10, 11, 16];

type Given = Readonly<Record<string, unknown>>;

/** An INT attribute: undefined where it is not given. `fits`: which integers are meant, `wanted` in words. */
function integerOf(
  attributes: Given,
  name: typeof NAMES[number],
  fits: (n: number) => boolean,
  wanted: string,
  complaint: Complaint,
): number | undefined {
  const value = attributes[name];
  if (value === undefined) return undefined;
  if (typeof value !== "number" && typeof value !== "bigint") {
    throw complaint.type(`attribute ${name} is ${show(value)} but must be ${wanted}`);
  }
  const n = Number(value);
  if (!(Number.isSafeInteger(n) && fits(n))) {
    throw complaint.range(`attribute ${name} is ${show(value)} but must be ${wanted}`);
  }
  return n;
}

function scalarOf(
  attributes: Given,
  name: "scale" | "softcap",
  complaint: Complaint,
): number | undefined {
  const value = attributes[name];
  return value === undefined ? undefined : checkScalar(`attribute ${name}`, value, complaint);
}

/** Checks the attributes. */
export function parseAttributes(attributes: unknown, complaint: Complaint): Attributes {
  checkNames("attributes", attributes, NAMES, complaint);
  const given = attributes as Given, causal = given["is_causal"];
  const flags = typeof causal === "boolean" ? { ...given, is_causal: Number(causal) } : given;
  const heads = (name: "q_num_heads" | "kv_num_heads") =>
    integerOf(given, name, (n) => n >= 1, "an integer >= 1", complaint);
  const precision = "1 (float), 10 (float16), 11 (double) or 16 (bfloat16)";
  integerOf(given, "softmax_precision", (n) => PRECISIONS.includes(n), precision, complaint);
  const mode = integerOf(
    given,
    "qk_matmul_output_mode",
    (n) => n in STAGES,
    "0 (product), 1 (after softcap), 2 (after masks) or 3 (probabilities)",
    complaint,
  );
  return {
    causal: integerOf(flags, "is_causal", (n) => n === 0 || n === 1, "0 or 1", complaint) === 1,
    queryHeads: heads("q_num_heads"),
    kvHeads: heads("kv_num_heads"),
    stage: STAGES[mode ?? 0]!,
    scale: scalarOf(given, "scale", complaint),
    softcap: scalarOf(given, "softcap", complaint),
  };
}
