// Calls on backends whose values the host can read at once: the arrays of the CPU backend as they are, what WebGL reads back.
import { attentionBackwardSync, attentionSync } from "../attention.ts";
import type { Engine } from "../engine/engine.ts";
import type { CallOptions } from "../problem/call_options.ts";
import { arrayKind, type TensorData } from "../tensor/dtype.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import {
  gradientName,
  type Gradients,
  type Inputs,
  learnedInputs,
  type LearnedName,
  type Runner,
  type SavedInputs,
  withTensors,
} from "./runner.ts";
import type { TfEngine, TfTensor } from "./tensorflow.ts";

/** The kinds of arrays that the library reads, by dtype. */
const KINDS: Readonly<Record<string, Float32ArrayConstructor | Uint8ArrayConstructor>> = {
  float32: Float32Array,
  bool: Uint8Array,
};

/** Runs calls on the values that the host reads. */
export class HostRunner implements Runner {
  readonly #engine: TfEngine;
  /** The engine that computes, where it is not that which calls share. */
  readonly #own: Engine | undefined;

  constructor(engine: TfEngine, own: Engine | undefined) {
    this.#engine = engine;
    this.#own = own;
  }

  #view(tensor: TfTensor): HostTensor {
    const values = this.#engine.readSync(tensor.dataId), Kind = KINDS[tensor.dtype]!;
    const data = arrayKind(values) === Kind.name
      ? values as unknown as TensorData
      : Kind.from(values);
    return { data, shape: tensor.shape };
  }

  #make({ data, shape }: HostTensor): TfTensor {
    return this.#engine.makeTensor(data as Float32Array, [...shape], "float32");
  }

  forward(inputs: Inputs, options: CallOptions): { out: TfTensor; lse: TfTensor } {
    const view = (tensor: TfTensor) => this.#view(tensor);
    const [q, k, v] = [inputs.q, inputs.k, inputs.v].map(view);
    const { out, lse } = attentionSync(q!, k!, v!, {
      ...withTensors(inputs, options, view),
      engine: this.#own,
    });
    return { out: this.#make(out), lse: this.#make(lse) };
  }

  backward(inputs: SavedInputs, options: CallOptions): Gradients {
    const view = (tensor: TfTensor) => this.#view(tensor);
    const saved = {
      ...{ q: view(inputs.q), k: view(inputs.k), v: view(inputs.v) },
      ...{ out: view(inputs.out), lse: view(inputs.lse) },
    };
    const all = attentionBackwardSync(view(inputs.dOut), saved, {
      ...withTensors(inputs, options, view),
      engine: this.#own,
    });
    const made: { [name in LearnedName]?: TfTensor } = {};
    for (const name of learnedInputs(inputs)) {
      made[name] = this.#make(all[gradientName(name)] as HostTensor);
    }
    const captured = [...all.dCaptured ?? []].map(([array, tensor]) =>
      [array, this.#make(tensor)] as const
    );
    return { inputs: made, captured: new Map(captured) };
  }
}
