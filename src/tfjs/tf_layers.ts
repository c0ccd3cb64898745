// What is used of TensorFlow.js' layers: structural types, as in tensorflow.ts.
import { Complaint, show } from "../tensor/errors.ts";
import type { TensorFlow, TfTensor } from "./tensorflow.ts";

/** TensorFlow.js with its layers: `import * as tf from "@tensorflow/tfjs"`, or the exports of core and layers in one object. */
export interface TensorFlowWithLayers<T extends TfTensor = TfTensor, L extends object = object>
  extends TensorFlow<T> {
  /** The layers. */
  readonly layers: {
    /** What layers are made of. */
    readonly Layer: abstract new (args?: never) => L;
    /** Its initializers, regularizers and constraints are those that layers have. */
    dense(args: { units: number }): object;
  };
  /** Where classes of layers are found again. */
  readonly serialization: object;
}

/** Sizes of a tensor; those that only a call says are null. */
export type TfShape = readonly (number | null)[];

/** A weight of a layer. */
export interface TfWeight {
  read(): TfTensor;
}

/** `tf.layers.Layer`. */
export interface TfLayer {
  readonly name: string;
  supportsMasking: boolean;
  built: boolean;
  addWeight(
    name: string,
    shape: readonly number[],
    dtype: "float32",
    initializer: unknown,
    regularizer: unknown,
    trainable: boolean,
    constraint: unknown,
  ): TfWeight;
  apply(inputs: unknown, kwargs?: object): unknown;
  getConfig(): Record<string, unknown>;
}

/** Its class. */
export type TfLayerClass = new (args: object) => TfLayer;

/** The ops that the layer is made of. */
export interface TfOps {
  add(a: TfTensor, b: TfTensor): TfTensor;
  mul(a: TfTensor, b: TfTensor): TfTensor;
  cast(x: TfTensor, dtype: string): TfTensor;
  logicalAnd(a: TfTensor, b: TfTensor): TfTensor;
  matMul(a: TfTensor, b: TfTensor): TfTensor;
  reshape(x: TfTensor, shape: readonly number[]): TfTensor;
  tidy<R>(f: () => R): R;
  readonly layers: {
    readonly Layer: TfLayerClass;
    dense(args: object): Record<string, unknown> & { getConfig(): Record<string, unknown> };
  };
  readonly serialization: { registerClass(layer: object): void };
}

/** The ops and layers of an instance; throws where something is missing. */
export function opsOf(tf: object, action: string): TfOps {
  const complaint = new Complaint(action), all = tf as unknown as Record<string, unknown>;
  const wanted = 'TensorFlow.js with its layers, import * as tf from "@tensorflow/tfjs"';
  const needed = ["layers", "serialization", "tidy", "matMul", "reshape", "add", "mul", "cast"];
  const missing = [...needed, "logicalAnd"].find((name) => !(name in all));
  if (missing === undefined) return tf as unknown as TfOps;
  throw complaint.type(`tf has ${missing} ${show(all[missing])} but must be ${wanted}`);
}
