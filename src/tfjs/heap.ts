// Calls on TensorFlow.js' WASM backend: operands and results are views of its heap, so that values are copied once each way,
// into the memory of the kernels and out of it.
import { attentionBackwardSync, attentionSync } from "../attention.ts";
import type { Engine } from "../engine/engine.ts";
import type { CallOptions } from "../problem/call_options.ts";
import type { TensorData } from "../tensor/dtype.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import {
  gradientName,
  type Gradients,
  type Inputs,
  learnedInputs,
  type LearnedName,
  resultShapes,
  type Runner,
  type SavedInputs,
  withTensors,
} from "./runner.ts";
import type { TfEngine, TfTensor, TfTensorInfo } from "./tensorflow.ts";

/** The WASM backend, as much of it as is used. */
export interface TfHeap {
  /** A view of the heap; moves the values of another backend there. */
  typedArrayFromHeap(tensor: TfTensor): TensorData;
  /** Room for a result. */
  makeOutput(shape: number[], dtype: string): TfTensorInfo;
  /** Counts one tensor more that has these values. */
  incRef(dataId: object): void;
}

/** Whether a backend has a heap. */
export const hasHeap = (backend: object): backend is TfHeap =>
  "typedArrayFromHeap" in backend && "makeOutput" in backend;

/** Runs calls on views of the heap. */
export class HeapRunner implements Runner {
  readonly #engine: TfEngine;
  /** The engine that computes, where it is not that which calls share. */
  readonly #own: Engine | undefined;
  readonly #heap: TfHeap;

  constructor(engine: TfEngine, heap: TfHeap, own: Engine | undefined) {
    this.#engine = engine;
    this.#own = own;
    this.#heap = heap;
  }

  #empty(shape: readonly number[]): TfTensor {
    const info = this.#heap.makeOutput([...shape], "float32");
    return this.#engine.makeTensorFromTensorInfo(info);
  }

  #view(tensor: TfTensor): HostTensor {
    return { data: this.#heap.typedArrayFromHeap(tensor), shape: tensor.shape };
  }

  /** Brings all inputs onto the heap: a heap that grows takes the views of before with it. */
  #bring(inputs: Inputs): void {
    for (const tensor of Object.values(inputs)) this.#heap.typedArrayFromHeap(tensor);
  }

  share({ dataId, shape, dtype }: TfTensor): TfTensor {
    this.#heap.incRef(dataId);
    return this.#engine.makeTensorFromTensorInfo({ dataId, shape: [...shape], dtype });
  }

  forward(inputs: Inputs, options: CallOptions): { out: TfTensor; lse: TfTensor } {
    this.#bring(inputs);
    const shapes = resultShapes(inputs, options);
    const out = this.#empty(shapes.out), lse = this.#empty(shapes.lse);
    const view = (tensor: TfTensor) => this.#view(tensor); // from here on nothing grows the heap
    const given = withTensors(inputs, options, view);
    const into = { out: view(out), lse: view(lse) };
    attentionSync(view(inputs.q), view(inputs.k), view(inputs.v), {
      ...given,
      engine: this.#own,
      into,
    });
    return { out, lse };
  }

  backward(inputs: SavedInputs, options: CallOptions): Gradients {
    this.#bring(inputs);
    const names = learnedInputs(inputs), made: { [name in LearnedName]?: TfTensor } = {};
    for (const name of names) made[name] = this.#empty(inputs[name]!.shape);
    const view = (tensor: TfTensor) => this.#view(tensor);
    const into = Object.fromEntries(
      names.map((name) => [gradientName(name), view(made[name]!)] as const),
    );
    const saved = {
      ...{ q: view(inputs.q), k: view(inputs.k), v: view(inputs.v) },
      ...{ out: view(inputs.out), lse: view(inputs.lse) },
    };
    const given = withTensors(inputs, options, view);
    const { dCaptured } = attentionBackwardSync(view(inputs.dOut), saved, {
      ...given,
      engine: this.#own,
      into,
    });
    const captured = [...dCaptured ?? []].map(([array, { data, shape }]) =>
      [array, this.#engine.makeTensor(data, [...shape], "float32")] as const
    );
    return { inputs: made, captured: new Map(captured) };
  }
}
