// Options of a call: which opset, which outputs, and how it runs.
import { engineOf } from "../engine/engine_of.ts";
import { defaultEngine } from "../engine/create_engine.ts";
import type { RunChoice } from "../options.ts";
import { checkSignal } from "../problem/option_checks.ts";
import { type Complaint, show } from "../tensor/errors.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import type { TensorData } from "../tensor/dtype.ts";
import { checkNames } from "./names.ts";

/** The versions of the operator: it came with opset 23; opset 24 added `nonpad_kv_seqlen` and shorter masks. */
export type OnnxOpset = 23 | 24;

/** The outputs of the operator. */
export type OnnxOutputName = "Y" | "present_key" | "present_value" | "qk_matmul_output";

/** Options of `onnxAttention`: what is wanted, and how it runs. */
export interface OnnxAttentionOptions<N extends OnnxOutputName = OnnxOutputName> extends RunChoice {
  /** The outputs that are wanted, each once. Default `["Y"]`; those that are not named are not computed. */
  readonly outputs?: readonly N[] | undefined;
  /** The version of the operator. Default 24. */
  readonly opset?: OnnxOpset | undefined;
}

/** Outputs of `onnxAttention`, host tensors without gaps; a call returns those that it was asked for. */
export interface OnnxAttentionOutputs<
  Q extends TensorData = TensorData,
  K extends TensorData = TensorData,
  V extends TensorData = TensorData,
> {
  /** `[batch_size, q_num_heads, q_sequence_length, v_head_size]`; of rank 3 where the inputs are. */
  readonly Y: HostTensor<Q>;
  /** `past_key` and the keys of this call, `[batch_size, kv_num_heads, total_sequence_length, head_size]`. */
  readonly present_key: HostTensor<K>;
  /** `past_value` and the values of this call, `[batch_size, kv_num_heads, total_sequence_length, v_head_size]`. */
  readonly present_value: HostTensor<V>;
  /** Scores as `qk_matmul_output_mode` says, `[batch_size, q_num_heads, q_sequence_length, total_sequence_length]`. */
  readonly qk_matmul_output: HostTensor<Q>;
}

/** Options, checked. */
export interface Choice {
  readonly opset: OnnxOpset;
  readonly outputs: ReadonlySet<OnnxOutputName>;
  /** Passed on to the calls that compute. */
  readonly run: RunChoice;
}

const OUTPUTS: readonly OnnxOutputName[] = [
  "Y",
  "present_key",
  "present_value",
  "qk_matmul_output",
];

function parseOutputs(outputs: unknown, complaint: Complaint): ReadonlySet<OnnxOutputName> {
  if (outputs === undefined) return new Set<OnnxOutputName>(["Y"]);
  const wanted = `some of ${OUTPUTS.map(show).join(", ")}`;
  if (!Array.isArray(outputs)) {
    throw complaint.type(`options.outputs is ${show(outputs)} but must be an array of ${wanted}`);
  }
  if (outputs.length > OUTPUTS.length) {
    throw complaint.range(`options.outputs has ${outputs.length} entries but must name ${wanted}`);
  }
  for (const name of outputs) {
    if (OUTPUTS.includes(name)) continue;
    throw complaint.type(`options.outputs names ${show(name)} but must name ${wanted}`);
  }
  const names = new Set<OnnxOutputName>(outputs);
  if (names.size === 0) throw complaint.range(`options.outputs is [] but must name ${wanted}`);
  if (names.size < outputs.length) {
    throw complaint.range(`options.outputs is ${show(outputs)} but must name each output once`);
  }
  return names;
}

/** Checks the options. */
export function parseOptions(options: unknown, complaint: Complaint): Choice {
  checkNames("options", options, ["outputs", "opset", "engine", "signal"], complaint);
  const { outputs, opset = 24, engine, signal } = options as Record<string, unknown>;
  if (opset !== 23 && opset !== 24) {
    throw complaint.range(`options.opset is ${show(opset)} but must be 23 or 24`);
  }
  checkSignal(signal, complaint);
  const run = { engine, signal } as RunChoice;
  if (engine !== undefined) engineOf(run, "onnxAttention", [], defaultEngine); // throws unless it is one
  return { opset, outputs: parseOutputs(outputs, complaint), run };
}
