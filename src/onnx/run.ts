// The operator as calls of the library: checked first, then computed.
import { attention } from "../attention.ts";
import type { AttentionOptions } from "../options.ts";
import { Complaint } from "../tensor/errors.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import { type Attributes, parseAttributes } from "./attributes.ts";
import { type Inputs, readInputs } from "./inputs.ts";
import { type Operand, toTensor } from "./operand.ts";
import { type Choice, type OnnxOutputName, parseOptions } from "./options.ts";
import { joined } from "./past.ts";
import { checkMatrix, matmulOutput } from "./scores.ts";

/** Options of the calls that compute, but for the layout. */
function callOptions(
  { causal, scale, softcap }: Attributes,
  { q, past, mask, lengths }: Inputs,
): AttentionOptions {
  const lengthQ = q.size[2];
  const offset = lengths?.map((length) => length - lengthQ) ?? past?.k.size[2] ?? 0;
  return {
    softmaxScale: scale,
    softcap,
    ...mask?.option,
    ...(causal ? { causal: { offset } } : {}),
    keyLengths: lengths,
  };
}

/** Y of rank 3 has heads and values in one axis. */
function shaped({ data, shape, dtype }: HostTensor, rank: 3 | 4): HostTensor {
  if (rank === 4) return { data, shape, dtype };
  const [batch, length, heads, dim] = shape as [number, number, number, number];
  return { data, shape: [batch, length, heads * dim], dtype };
}

const tensorOf = ({ data, size, dtype }: Operand): HostTensor => ({
  data,
  shape: [...size],
  dtype,
});

/** Y and qk_matmul_output, those that are wanted. */
async function computed(
  attributes: Attributes,
  inputs: Inputs,
  { outputs, run }: Choice,
  { k, v }: { readonly k: Operand; readonly v: Operand },
): Promise<Partial<Record<OnnxOutputName, HostTensor>>> {
  const { rank, q: queries, mask } = inputs, { stage } = attributes, keys = k.size[2];
  const results: Partial<Record<OnnxOutputName, HostTensor>> = {};
  const layout = rank === 3 ? "bshd" : "bhsd", shown = mask?.keys ?? keys;
  const options = { ...callOptions(attributes, inputs), ...run, layout } as const;
  const q = toTensor(queries, layout), shownKeys = toTensor(k, layout, shown);
  const scores = outputs.has("qk_matmul_output");
  let lse: HostTensor | undefined;
  if (outputs.has("Y") || (scores && stage === "probabilities")) {
    const result = await attention<HostTensor>(q, shownKeys, toTensor(v, layout, shown), options);
    if (outputs.has("Y")) results.Y = shaped(result.out, rank);
    lse = result.lse;
  }
  if (scores) {
    const call = { stage, q, allKeys: toTensor(k, layout), shownKeys, options, lse };
    results.qk_matmul_output = await matmulOutput(call, queries, keys);
  }
  return results;
}

/** Runs a call of `onnxAttention`. */
export async function runOperator(
  inputs: unknown,
  attributes: unknown,
  options: unknown,
): Promise<Partial<Record<OnnxOutputName, HostTensor>>> {
  const complaint = new Complaint("onnxAttention");
  const choice = parseOptions(options, complaint), { outputs, run } = choice;
  const checked = parseAttributes(attributes, complaint);
  const operands = readInputs(inputs, checked, choice, complaint), { past } = operands;
  if (outputs.has("qk_matmul_output")) {
    checkMatrix(operands.q, (past?.k.size[2] ?? 0) + operands.k.size[2], complaint);
  }
  run.signal?.throwIfAborted();
  // a copy where there is a past, and where the result must be none of the inputs
  const whole = (name: "k" | "v", present: OnnxOutputName) =>
    past || outputs.has(present) ? joined(past?.[name], operands[name], complaint) : operands[name];
  const k = whole("k", "present_key"), v = whole("v", "present_value");
  return {
    ...await computed(checked, operands, choice, { k, v }),
    ...(outputs.has("present_key") ? { present_key: tensorOf(k) } : {}),
    ...(outputs.has("present_value") ? { present_value: tensorOf(v) } : {}),
  };
}
