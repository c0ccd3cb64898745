// Inputs of the operator, by themselves and against each other.
import type { TensorData } from "../tensor/dtype.ts";
import { type Complaint, show } from "../tensor/errors.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import type { Attributes } from "./attributes.ts";
import { type OnnxLengths, readLengths } from "./lengths.ts";
import { type Mask, type OnnxBooleanMask, readMask } from "./mask.ts";
import { checkNames } from "./names.ts";
import { checkOperands, type Operands, readOperands } from "./operands.ts";
import type { Choice } from "./options.ts";
import { type Past, readPast } from "./past.ts";

/**
 * Inputs of `onnxAttention`, host tensors by the names that the operator has for them. Q, K and V are all of rank 4,
 * `[batch_size, heads, length, size]`, or all of rank 3, `[batch_size, length, heads · size]`. Floats are f32, f16 or bf16:
 * one type for Q, K, `past_key` and a float `attn_mask`, one for V and `past_value`.
 */
export interface OnnxAttentionInputs<
  Q extends TensorData = TensorData,
  K extends TensorData = TensorData,
  V extends TensorData = TensorData,
> {
  /** Queries: `q_num_heads` of `head_size`, `q_sequence_length` rows. */
  readonly Q: HostTensor<Q>;
  /** Keys: `kv_num_heads` of `head_size`, `kv_sequence_length` rows. */
  readonly K: HostTensor<K>;
  /** Values: `kv_num_heads` of `v_head_size`, `kv_sequence_length` rows. */
  readonly V: HostTensor<V>;
  /**
   * Bytes, 1 = may attend, or floats that are added to the scores, minus infinity hides. Broadcasts to
   * `[batch_size, q_num_heads, q_sequence_length, total_sequence_length]` from rank 1 to 4. In opset 24 the last axis may
   * be shorter, one of 1 included: keys behind it are hidden.
   */
  readonly attn_mask?: HostTensor | OnnxBooleanMask | undefined;
  /** Keys of earlier calls, `[batch_size, kv_num_heads, past_sequence_length, head_size]`: they stand before K. */
  readonly past_key?: HostTensor | undefined;
  /** Values of earlier calls, `[batch_size, kv_num_heads, past_sequence_length, v_head_size]`. */
  readonly past_value?: HostTensor | undefined;
  /** How many keys of each sequence are real, `[batch_size]`. From opset 24 on, and not beside a past. */
  readonly nonpad_kv_seqlen?: OnnxLengths | undefined;
}

/** Inputs, checked. */
export interface Inputs extends Operands {
  readonly past: Past | undefined;
  readonly mask: Mask | undefined;
  /** Real keys of each sequence. */
  readonly lengths: Int32Array | undefined;
}

const NAMES = ["Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen"] as const;

type Given = Readonly<Record<string, unknown>>;

/** Throws where lengths are given to a call that has no place for them. */
function checkLengthsAllowed(
  inputs: Given,
  { opset, outputs }: Choice,
  complaint: Complaint,
): void {
  const value = show(inputs["nonpad_kv_seqlen"]);
  if (opset < 24) {
    throw complaint.type(
      `nonpad_kv_seqlen is ${value} but options.opset is ${opset}: opset 24 was wanted`,
    );
  }
  const past = ["past_key", "past_value"].find((name) => inputs[name] !== undefined);
  const present = (["present_key", "present_value"] as const).find((name) => outputs.has(name));
  if (past === undefined && present === undefined) return;
  const beside = past === undefined ? `the output ${present} is` : `${past} is`;
  throw complaint.type(
    `nonpad_kv_seqlen is ${value} but ${beside} given too: lengths are those of a cache outside of ` +
      "the operator, which is all of K and V",
  );
}

/** Checks the inputs. */
export function readInputs(
  inputs: unknown,
  attributes: Attributes,
  choice: Choice,
  complaint: Complaint,
): Inputs {
  checkNames("inputs", inputs, NAMES, complaint);
  const given = inputs as Given, { attn_mask: bytes, nonpad_kv_seqlen: counts } = given;
  if (counts !== undefined) checkLengthsAllowed(given, choice, complaint);
  const operands = readOperands(given, attributes, complaint), { q, k } = operands;
  checkOperands(operands, complaint);
  const past = readPast(given, operands, complaint), keys = (past?.k.size[2] ?? 0) + k.size[2];
  const full = [q.size[0], q.size[1], q.size[2], keys] as const;
  const mask = bytes === undefined
    ? undefined
    : readMask(bytes as OnnxBooleanMask, q, full, choice.opset, complaint);
  const lengths = counts === undefined
    ? undefined
    : readLengths(counts, q.size[0], keys, mask?.keys ?? keys, complaint);
  return { ...operands, past, mask, lengths };
}
