/** The recogniser of PP-OCRv4, which reads one line of text: its picture, its letters, and how it runs in parts. */

import type { HostTensor } from "../../mod.ts";
import { attentionsOf, modelOf, nodesFor, type OnnxGraph } from "./onnx_graph.ts";

/** A tensor of ONNX Runtime, by what is used of it. */
export interface RuntimeTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}
type Tensors = Readonly<Record<string, RuntimeTensor>>;

/** The module `onnxruntime-web/wasm`, likewise. */
export interface Runtime {
  readonly env: { logLevel: string; readonly wasm: { numThreads: number } };
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{
      run(feeds: Tensors): Promise<Tensors>;
      release(): Promise<void>;
    }>;
  };
  readonly Tensor: new (
    type: "float32",
    data: Float32Array,
    dims: readonly number[],
  ) => RuntimeTensor;
}

/** Heads first, as the model has them. */
export type AttendHeads = (q: HostTensor, k: HostTensor, v: HostTensor) => Promise<HostTensor>;

/** A bitmap (PBM, P4) as the model takes pictures, three equal colours from −1 to 1. */
export function readPicture(bytes: Uint8Array): HostTensor<Float32Array> {
  const [header, width, height] = /^P4\s+(\d+)\s+(\d+)\s/.exec(
    new TextDecoder("latin1").decode(bytes.subarray(0, 32)),
  )!;
  const [columns, rows] = [Number(width), Number(height)], line = Math.ceil(columns / 8);
  const black = (n: number) => {
    const row = Math.floor(n / columns), column = n % columns;
    return bytes[header.length + row * line + (column >> 3)]! >> 7 - column % 8 & 1;
  };
  const size = rows * columns;
  const data = new Float32Array(3 * size).map((_, n) => black(n % size) ? -1 : 1);
  return { data, shape: [1, 3, rows, columns] };
}

/** Letters of probabilities `[1, steps, letters]`: the likeliest of each step, without repetitions and blanks, which are 0. */
export function readLetters({ data, dims }: RuntimeTensor, letters: readonly string[]): string {
  const [, steps, count] = dims as readonly [number, number, number];
  let text = "", last = 0;
  for (let step = 0; step < steps; step++) {
    const row = data.subarray(step * count, (step + 1) * count);
    const best = row.indexOf(row.reduce((most, p) => Math.max(most, p), 0));
    if (best !== 0 && best !== last) text += letters[best - 1] ?? " ";
    last = best;
  }
  return text;
}

async function run(runtime: Runtime, model: Uint8Array, feeds: Tensors): Promise<Tensors> {
  // nothing runs twice: optimising would take longer than it saves
  const options = { graphOptimizationLevel: "disabled", logSeverityLevel: 3 };
  const session = await runtime.InferenceSession.create(model, {
    executionProviders: ["wasm"],
    ...options,
  });
  const results = await session.run(feeds);
  await session.release();
  return results;
}

function feed(runtime: Runtime, { data, shape }: HostTensor): RuntimeTensor {
  return new runtime.Tensor("float32", data as Float32Array, shape);
}

/** Runs the model as it is; also the tensors named. */
export async function runWhole(
  runtime: Runtime,
  graph: OnnxGraph,
  picture: HostTensor,
  named: readonly string[],
): Promise<Tensors> {
  const model = modelOf(graph, graph.nodes, graph.inputs, [...graph.outputs, ...named]);
  return await run(runtime, model, { [graph.inputs[0]!]: feed(runtime, picture) });
}

/** The operands of an attention, from tensors of the model. */
export function operands(
  tensors: Tensors,
  { q, kT, v }: { readonly q: string; readonly kT: string; readonly v: string },
): [q: HostTensor, k: HostTensor, v: HostTensor] {
  const host = ({ data, dims }: RuntimeTensor) => ({ data, shape: dims });
  const { data, dims } = tensors[kT]!, [batch, heads, dim, length] = dims as number[];
  const at = (_: number, n: number) => {
    const row = Math.floor(n / dim!), head = Math.floor(row / length!);
    return data[(head * dim! + n % dim!) * length! + row % length!]!;
  };
  const k = { data: data.map(at), shape: [batch!, heads!, length!, dim!] };
  return [host(tensors[q]!), k, host(tensors[v]!)];
}

/** Runs the model in parts, with another attention in each of its layers; the probabilities of letters. */
export async function runInParts(
  runtime: Runtime,
  graph: OnnxGraph,
  picture: HostTensor,
  attend: AttendHeads,
): Promise<RuntimeTensor> {
  const known: Record<string, RuntimeTensor> = { [graph.inputs[0]!]: feed(runtime, picture) };
  /** Makes tensors out of the picture and the results of attention that are known. */
  const make = async (wanted: readonly string[]) => {
    const nodes = nodesFor(graph, wanted, Object.keys(known));
    const used = new Set(nodes.flatMap(({ inputs }) => inputs));
    const feeds = Object.entries(known).filter(([name]) => used.has(name));
    const model = modelOf(graph, nodes, feeds.map(([name]) => name), wanted);
    return await run(runtime, model, Object.fromEntries(feeds));
  };
  for (const layer of attentionsOf(graph)) {
    const tensors = await make([layer.q, layer.kT, layer.v]);
    known[layer.out] = feed(runtime, await attend(...operands(tensors, layer)));
  }
  const [output] = graph.outputs as [string];
  return (await make([output]))[output]!;
}
