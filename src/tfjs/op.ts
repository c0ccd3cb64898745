// Attention as an op of TensorFlow.js: one result, with a gradient that keeps q, k, v, out and lse.
import { Complaint, UnsupportedError } from "../tensor/errors.ts";
import { checkOperand } from "./inputs.ts";
import { type ParsedOptions, parseOptions } from "./options.ts";
import {
  type CapturedFloats,
  type InputName,
  type Inputs,
  learnedInputs,
  type Runner,
  type SavedInputs,
} from "./runner.ts";
import type { TfEngine, TfTensor } from "./tensorflow.ts";

/** Writes values into the arrays that a function of scores captured. */
function fillCaptured(captured: ParsedOptions["captured"]): void {
  for (const { array, values } of captured) array.data.set(values);
}

/** A gradient that has no gradient: one that is asked for throws, and is not silently zero. */
function withoutGradient(engine: TfEngine, value: TfTensor, inputs: readonly TfTensor[]): TfTensor {
  if (engine.state.gradientDepth === 0) return value;
  const gradFunc = () => {
    throw new UnsupportedError(
      "the gradient of a gradient of flashAttention",
      "any",
      "write this attention with tf.matMul and tf.softmax, whose gradients have gradients",
    );
  };
  return engine.customGrad(() => ({ value, gradFunc }))(...inputs);
}

/**
 * What a gradient keeps of a call. TensorFlow.js maps `clone` over the list, and on its WASM backend that copies values. There
 * the list maps itself, to tensors that share them; it is asked only while a gradient is being recorded.
 */
function toKeep(engine: TfEngine, runner: Runner, tensors: TfTensor[]): TfTensor[] {
  if (!runner.share) return tensors;
  const shared = () => tensors.map((tensor) => engine.keep(runner.share!(tensor)));
  return Object.assign([...tensors], { map: shared as TfTensor[]["map"] });
}

/** Runs attention on checked tensors. */
function attend(
  engine: TfEngine,
  runnerOf: (engine: TfEngine) => Runner,
  inputs: Inputs,
  options: ParsedOptions,
): TfTensor {
  const { host, captured } = options, names = learnedInputs(inputs);
  const arrays = captured.filter(({ array }) => array.gradient);
  const learned = [...names.map((name) => inputs[name]!), ...arrays.map(({ tensor }) => tensor)];
  const kept = Object.keys(inputs) as InputName[];
  const gradients = (all: SavedInputs): TfTensor[] => {
    fillCaptured(captured);
    const made = runnerOf(engine).backward(all, host); // another backend may have been set meanwhile
    // a function that does not read an array does not depend on it
    const none = ({ data, shape }: CapturedFloats) =>
      engine.makeTensor(new Float32Array(data.length), [...shape], "float32");
    return [
      ...names.map((name) => made.inputs[name]!),
      ...arrays.map(({ array }) => made.captured.get(array) ?? none(array)),
    ];
  };
  const op = engine.customGrad((...given) => {
    const save = given[given.length - 1] as (tensors: TfTensor[]) => void;
    fillCaptured(captured);
    const runner = runnerOf(engine), { out, lse } = runner.forward(inputs, host);
    save(toKeep(engine, runner, [out, lse, ...kept.map((name) => inputs[name]!)]));
    return {
      value: out,
      gradFunc: (dOut, [out, lse, ...saved]) => {
        const of = Object.fromEntries(kept.map((name, n) => [name, saved[n]!]));
        const made = gradients({ ...of, dOut, out, lse } as unknown as SavedInputs);
        const from = [dOut, ...saved, ...arrays.map(({ tensor }) => tensor)];
        return made.map((one) => withoutGradient(engine, one, from));
      },
    };
  });
  return op(...learned);
}

/** `flashAttention`: checks what it is given, and runs it on the backend that is set. */
export function flashAttention(
  engine: TfEngine,
  runnerOf: (engine: TfEngine) => Runner,
  given: { readonly q: unknown; readonly k: unknown; readonly v: unknown },
  options: unknown,
): TfTensor {
  const complaint = new Complaint("flashAttention");
  const parsed = parseOptions(options ?? {}, engine, complaint);
  const { cuSeqlensQ, cuSeqlensK, layout } = parsed.host;
  const check = (name: "q" | "k" | "v", packed: unknown) =>
    checkOperand(name, given[name], packed !== undefined, layout, engine, complaint);
  const inputs: Inputs = {
    ...{ q: check("q", cuSeqlensQ), k: check("k", cuSeqlensK), v: check("v", cuSeqlensK) },
    ...parsed.tensors,
  };
  return attend(engine, runnerOf, inputs, parsed);
}
