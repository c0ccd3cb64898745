// The tensors of a call, checked one by one.
import { type Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import type { TfEngine, TfTensor } from "./tensorflow.ts";

/** Whether a value is a tensor of some instance of TensorFlow.js. */
export function isTensor(value: unknown): value is TfTensor {
  return typeof value === "object" && value !== null && "dataId" in value && "shape" in value &&
    "dtype" in value;
}

/** Checks a tensor of TensorFlow.js; `name` as errors call it. */
export function checkTensor(
  name: string,
  value: unknown,
  dtype: "float32" | "bool" | "int32",
  engine: TfEngine,
  complaint: Complaint,
): TfTensor {
  if (!isTensor(value)) throw complaint.type(`${name} is ${show(value)} but must be a tf.Tensor`);
  if (value.isDisposed) throw complaint.type(`${name} was disposed of`);
  if (!engine.state.tensorInfo.has(value.dataId)) {
    throw complaint.type(
      `${name} is a tensor of another instance of TensorFlow.js but must be one of that which ` +
        "createFlashAttention was given",
    );
  }
  if (value.dtype === dtype) return value;
  throw complaint.type(
    `${name} has dtype ${show(value.dtype)} but must have ${show(dtype)}: use tf.cast`,
  );
}

/** Checks q, k or v, of rank 4, or 3 where it is packed. */
export function checkOperand(
  name: "q" | "k" | "v",
  value: unknown,
  packed: boolean,
  layout: unknown,
  engine: TfEngine,
  complaint: Complaint,
): TfTensor {
  const tensor = checkTensor(name, value, "float32", engine, complaint);
  if (tensor.shape.length === (packed ? 3 : 4)) return tensor;
  const axes = packed
    ? "[rows, heads, dim]"
    : layout === "bhsd"
    ? "[batch, heads, length, dim]"
    : "[batch, length, heads, dim]";
  throw complaint.range(`${name} has shape ${show(tensor.shape)} but must be ${axes}`);
}

/** Values that have to be known before anything is computed. */
export function readValues(name: string, tensor: TfTensor, engine: TfEngine): ArrayLike<number> {
  try {
    return engine.readSync(tensor.dataId);
  } catch {
    // a GPU cannot be waited for
    throw new UnsupportedError(
      `reading ${name} at once`,
      engine.backendName,
      "pass values of the host's, or await the data() of the tensor before the call",
    );
  }
}

/** The same of integers. */
export function readIntegers(name: string, tensor: TfTensor, engine: TfEngine): Int32Array {
  return Int32Array.from(readValues(name, tensor, engine));
}
