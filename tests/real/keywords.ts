/** The keyword transformer KWT-1 (Berg et al. 2021): its graph, with attention as one operator, and how it runs. */

import type { HostTensor } from "../../mod.ts";
import type { Graph, Operator } from "./tflite.ts";
import { Code, runOperator, type Values } from "./tflite_operators.ts";

/** softmax(q kᵀ · scale) v, where the graph had six operators. Numbers of tensors; each is [length, headDim]. */
export interface AttentionStep {
  readonly q: number;
  readonly k: number;
  readonly v: number;
  readonly scale: number;
  readonly output: number;
}

/** What computes attention: tensors are [batch, length, heads, headDim]. */
export type Attend = (
  q: HostTensor,
  k: HostTensor,
  v: HostTensor,
  scale: number,
) => Promise<Float32Array>;

/** The operators of a graph, with each attention in place of the operators that it was made of. */
export function withAttention({ operators, tensors }: Graph): (Operator | AttentionStep)[] {
  const makers = new Map(operators.map((operator) => [operator.output, operator]));
  const dropped = new Set<Operator>(), steps = new Map<Operator, AttentionStep>();
  /** What makes a tensor, which must be such an operator; reshapes on the way are dropped too. */
  const maker = (tensor: number, code: number): Operator => {
    const found = makers.get(tensor)!;
    dropped.add(found);
    if (found.code === Code.Reshape && code !== Code.Reshape) return maker(found.inputs[0]!, code);
    if (found.code !== code) throw new Error(`operator ${found.code} where ${code} was expected`);
    return found;
  };
  for (const product of operators) {
    if (makers.get(product.inputs[0]!)?.code !== Code.Softmax) continue;
    const softmax = maker(product.inputs[0]!, Code.Softmax);
    const scaled = maker(softmax.inputs[0]!, Code.Multiply);
    const scores = maker(scaled.inputs[0]!, Code.FullyConnected); // rows of q times rows of k
    const columns = maker(product.inputs[1]!, Code.Transpose); // v, a row for each column
    const scale = tensors[scaled.inputs[1]!]!.constant![0]!;
    const [q, k] = scores.inputs as [number, number];
    steps.set(product, { q, k, v: columns.inputs[0]!, scale, output: product.output });
  }
  return operators.filter((operator) => !dropped.has(operator))
    .map((operator) => steps.get(operator) ?? operator);
}

/** Runs the graph on samples of sound; the logits. */
export async function recognise(
  { tensors, input, output }: Graph,
  steps: readonly (Operator | AttentionStep)[],
  samples: Float32Array,
  attend: Attend,
): Promise<Float32Array> {
  const values: (Values | undefined)[] = tensors.map(({ shape, constant }) =>
    constant && { data: constant, shape }
  );
  values[input] = { data: samples, shape: tensors[input]!.shape };
  for (const step of steps) {
    const { shape } = tensors[step.output]!;
    if ("code" in step) {
      const inputs = step.inputs.map((n) => values[n]!); // -1 is an input that is not given
      values[step.output] = runOperator(step, inputs, shape);
      continue;
    }
    const operand = (n: number) => {
      const { data, shape: [length, dim] } = values[n]!;
      return { data: data as Float32Array, shape: [1, length!, 1, dim!] };
    };
    const data = await attend(operand(step.q), operand(step.k), operand(step.v), step.scale);
    values[step.output] = { data, shape };
  }
  return values[output]!.data as Float32Array;
}

/** The samples of a WAV file with 16 bits a sample and a header of 44 bytes, as many as the network takes. */
export function readSamples(file: URL, count: number): Float32Array {
  const bytes = Deno.readFileSync(file);
  const samples = new Int16Array(bytes.buffer.slice(44, 44 + 2 * count));
  return Float32Array.from(samples, (sample) => sample / 32768);
}
