// TensorFlow.js as this adapter sees it: structural types, so that the caller's own copy may be of any version, of a bundle
// or of a script tag, and nothing has to be installed for those who do not use it.
import { Complaint, show } from "../tensor/errors.ts";

/** A `tf.Tensor`. */
export interface TfTensor {
  /** What its backend knows its values by. */
  readonly dataId: object;
  /** Size of each axis. */
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  /** `"float32"`, `"int32"`, `"bool"` and others. */
  readonly dtype: string;
  /** Whether it was disposed of. */
  readonly isDisposed: boolean;
}

/** What is used of TensorFlow.js: `import * as tf from "@tensorflow/tfjs"`, or `"@tensorflow/tfjs-core"`. */
export interface TensorFlow<T extends TfTensor = TfTensor> {
  /** Resolves when the backend may be used. */
  ready(): Promise<void>;
  /** Makes a tensor; its type is that of all tensors. */
  tensor(values: Float32Array, shape: number[]): T;
  /** What ops are made with. */
  engine(): object;
}

/** A tensor before it is one. */
export interface TfTensorInfo {
  readonly dataId: object;
  readonly shape: number[];
  readonly dtype: string;
}

/** Values in the host's memory. */
export type TfValues = Float32Array | Int32Array | Uint8Array;

/** An op with a gradient of its own. */
export type TfCustomOp = (...inputs: unknown[]) => {
  readonly value: TfTensor;
  readonly gradFunc: (dy: TfTensor, saved: TfTensor[]) => TfTensor[];
};

/** `tf.engine()`. */
export interface TfEngine {
  readonly backendName: string;
  /** The backend that is set; throws while there is none. */
  readonly backend: object;
  readonly state: {
    readonly tensorInfo: { has(dataId: object): boolean };
    /** How many gradients of gradients are being recorded. */
    readonly gradientDepth: number;
  };
  makeTensor(values: TfValues, shape: number[], dtype: string): TfTensor;
  makeTensorFromTensorInfo(info: TfTensorInfo): TfTensor;
  readSync(dataId: object): ArrayLike<number>;
  /** Keeps a tensor beyond the scope that it was made in. */
  keep(tensor: TfTensor): TfTensor;
  customGrad(op: TfCustomOp): (...inputs: TfTensor[]) => TfTensor;
}

/** The engine of an instance of TensorFlow.js; throws where `tf` is none. */
export function engineOf(tf: unknown, action: string): TfEngine {
  const complaint = new Complaint(action), wanted = "TensorFlow.js, `import * as tf`";
  const looks = typeof tf === "object" && tf !== null && "engine" in tf && "ready" in tf &&
    typeof tf.engine === "function";
  if (!looks) throw complaint.type(`tf is ${show(tf)} but must be ${wanted}`);
  const engine = (tf.engine as () => object)();
  const makes = ["makeTensor", "makeTensorFromTensorInfo", "customGrad"];
  const missing = [...makes, "state", "readSync", "keep"].find((name) => !(name in engine));
  if (missing === undefined) return engine as TfEngine;
  throw complaint.type(`tf.engine() has no ${missing} but must be that of ${wanted}`);
}
