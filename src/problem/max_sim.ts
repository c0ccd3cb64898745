// Late interaction, checked: sets of queries against documents whose rows lie one behind the other. Sets are the heads of
// q, all rows of documents the keys of one kv head; where documents begin is said beside that.
import { arrayKind } from "../tensor/dtype.ts";
import { Complaint, show } from "../tensor/errors.ts";
import type { AxisSizes, OperandName } from "../tensor/operands.ts";
import type {
  AnyTensor,
  FloatResultOf,
  HostTensor,
  IntegerTensor,
  ResultOf,
  Tensor,
} from "../tensor/tensor.ts";
import { checkExtent, checkShape, checkStrides, isDisposed, readOnce } from "../tensor/given.ts";
import { rowMajor, sameShape } from "../tensor/shape.ts";
import { type Axes, type View, viewRows } from "../tensor/view.ts";
import type { SequenceStarts } from "./call_options.ts";
import { UNBOUNDED } from "./features/feature.ts";
import { checkElements, checkNames, checkSignal, refuseIntegers } from "./option_checks.ts";
import { checkStarts } from "./packing.ts";
import { type Call, CALL_NAMES, type Pass, specsOf, type Views } from "./problem.ts";

/** What `maxSim` is asked. */
export interface MaxSimCallOptions {
  /**
   * Where documents begin among the rows, [documents + 1]: document d has the rows from entry d to before entry d + 1.
   * The first is 0, none is below the one before it, the last is at most the number of rows.
   */
  readonly cuSeqlens: SequenceStarts;
}

/** What `maxSim` returns. Tensors live where the queries live. */
export interface MaxSimResult<T = HostTensor> {
  /** f32 [documents], or [batch, documents]. */
  readonly scores: FloatResultOf<T>;
  /**
   * The row of each query's largest product, 32-bit integers [documents, tokens], or [batch, documents, tokens];
   * counted in the tensor of documents, −1 where the document has no rows.
   */
  readonly keys: T extends Tensor ? IntegerTensor : HostTensor<Int32Array>;
  /** Set when the GPU was lost during the call: where it was computed again. */
  readonly recovered?: "webgpu" | "wasm" | undefined;
}

/** What `maxSimBackward` needs of the call of `maxSim`: its inputs, and its result `keys`. */
export interface SavedForMaxSim<
  Q extends AnyTensor = AnyTensor,
  K extends AnyTensor = AnyTensor,
> {
  /** The queries. */
  readonly queries: Q;
  /** The documents. */
  readonly documents: K;
  /** The result `keys`. */
  readonly keys: HostTensor<Int32Array> | IntegerTensor;
}

/** What `maxSimBackward` returns: each gradient has the shape and type of its operand, and lives beside it. */
export interface MaxSimGradients<Q = HostTensor, K = HostTensor> {
  /** Gradient of the queries. */
  readonly dQueries: Q;
  /** Gradient of the documents; rows behind the last document have 0. */
  readonly dDocuments: K;
  /** Set when the GPU was lost during the call: where it was computed again. */
  readonly recovered?: "webgpu" | "wasm" | undefined;
}

/** The gradients of tensors of these types. */
export type MaxSimGradientsOf<Q extends AnyTensor, K extends AnyTensor> = MaxSimGradients<
  ResultOf<Q>,
  ResultOf<K>
>;

const KNOWN: ReadonlySet<string> = new Set(["cuSeqlens", "engine", "signal"]);
const KNOWN_BACKWARD: ReadonlySet<string> = new Set(["engine", "signal"]);

/** Rows of queries, or of documents, as rows of q, or of k. */
function viewMatrix(
  name: "q" | "k",
  called: string,
  tensor: AnyTensor,
  ranks: readonly number[],
  complaint: Complaint,
): View {
  const view = viewRows(name, tensor, ranks, complaint, called);
  refuseIntegers(view, called);
  return view;
}

function checkBoth(
  queries: AnyTensor,
  documents: AnyTensor,
  complaint: Complaint,
): { q: View; k: View } {
  const q = viewMatrix("q", "queries", queries, [2, 3], complaint);
  const k = viewMatrix("k", "documents", documents, [2], complaint);
  const dim = q.size[3];
  if (dim < 1) throw complaint.range(`queries has dim ${dim} but it must be at least 1`);
  if (dim !== k.size[3]) {
    throw complaint.range(`documents has dim ${k.size[3]} but queries has dim ${dim}`);
  }
  if (k.size[2] >= UNBOUNDED) {
    throw complaint.range(`documents has ${k.size[2]} rows but must have below ${UNBOUNDED}`);
  }
  return { q, k };
}

function callOf(
  pass: Pass,
  views: Views & { q: View; k: View },
  documents: readonly number[],
): Call {
  const { q, k } = views, [, sets, lengthQ, headDim] = q.size, lengthK = documents.at(-1)!;
  const sizes: AxisSizes = {
    ...{ batch: 1, queryHeads: sets, kvHeads: 1, lengthQ, lengthK, headDim, documents },
    ...{ valueDim: 0, count: 0, captured: 0 },
  };
  const span = { lengthQ, lengthK, offset: 0, low: -UNBOUNDED, high: UNBOUNDED };
  const problem = {
    ...{ pass, layout: "bhsd", softmaxScale: 1, features: [], spans: [span] } as const,
    ...{
      statistics: [],
      precision: "f32" as const,
      operands: specsOf({ ...views, q, k }),
      ...sizes,
    },
  };
  return { problem, views };
}

/** Checks a call of `maxSim`. */
export function describeMaxSim(
  queries: AnyTensor,
  documents: AnyTensor,
  options: MaxSimCallOptions,
): Call {
  const complaint = new Complaint(CALL_NAMES.maxSim);
  checkNames(options, KNOWN, complaint);
  checkSignal((options as { signal?: unknown }).signal, complaint);
  const { q, k } = checkBoth(queries, documents, complaint);
  const starts = checkStarts("cuSeqlens", options.cuSeqlens, complaint), end = starts.at(-1)!;
  if (end > k.size[2]) {
    throw complaint.range(`cuSeqlens ends at row ${end} but documents has ${k.size[2]} rows`);
  }
  const [, sets, tokens] = q.size, count = starts.length - 1;
  checkElements(
    sets * count * Math.max(1, tokens),
    `queries ${show(queries.shape)}, ${count} documents`,
    complaint,
  );
  return callOf("maxSim", { q, k }, starts);
}

/** A tensor of the shape that a result of the call had. */
function viewResult(
  name: OperandName,
  called: string,
  given: AnyTensor | IntegerTensor,
  dtype: "f32" | "i32",
  sizes: readonly number[],
  complaint: Complaint,
): View {
  if (typeof given !== "object" || given === null) {
    throw complaint.type(`${called} is ${show(given)} but must be a tensor { data, shape }`);
  }
  const tensor = readOnce(given as AnyTensor), shape = checkShape(called, tensor.shape, complaint);
  if (!sameShape(shape, sizes)) {
    throw complaint.range(
      `${called} has shape ${show([...shape])} but must have ${show([...sizes])}`,
    );
  }
  const kind = dtype === "f32" ? "Float32Array" : "Int32Array";
  let strides: readonly number[], resident = false;
  if ("data" in tensor) {
    const { data } = tensor as HostTensor;
    if (arrayKind(data) !== kind) {
      throw complaint.type(`${called}.data is ${show(data)} but must be a ${kind}`);
    }
    strides = checkStrides(called, (tensor as HostTensor).strides, shape, complaint);
    checkExtent(called, data as Int32Array, shape, strides, complaint);
  } else {
    if (!("read" in tensor)) {
      throw complaint.type(`${called} is ${show(tensor)} but must be a tensor { data, shape }`);
    }
    if (isDisposed(tensor as AnyTensor, called, complaint)) {
      throw complaint.type(`${called} was disposed but must be a live tensor`);
    }
    if (tensor.dtype !== dtype) {
      throw complaint.type(`${called} has dtype ${show(tensor.dtype)} but must be ${show(dtype)}`);
    }
    [strides, resident] = [rowMajor(shape), true];
  }
  // [batch, documents, queries], whichever of them there are
  const columns = name === "documentKeys", rank = shape.length - (columns ? 1 : 0);
  const size: Axes = [1, rank === 2 ? shape[0]! : 1, shape[rank - 1]!, columns ? shape[rank]! : 1];
  const own: Axes = [0, rank === 2 ? strides[0]! : 0, strides[rank - 1]!, 1];
  const ofCall = tensor as AnyTensor;
  return { name, tensor: ofCall, dtype, size, strides: own, resident, offset: 0 };
}

/** Throws where an entry of host keys is no row; those of other memory are looked at where they are. */
function checkKeys({ tensor, size, strides }: View, rows: number, complaint: Complaint): void {
  if (!("data" in tensor)) return;
  const { data } = tensor as HostTensor<Int32Array>, [, sets, documents, tokens] = size;
  for (let set = 0; set < sets; set++) {
    for (let d = 0; d < documents; d++) {
      const at = set * strides[1] + d * strides[2];
      for (let i = 0; i < tokens; i++) {
        const row = data[at + i]!;
        if (row >= -1 && row < rows) continue;
        throw complaint.range(`saved.keys has the row ${row} but documents has ${rows} rows`);
      }
    }
  }
}

/** Checks a call of `maxSimBackward`. */
export function describeMaxSimBackward(
  dScores: AnyTensor,
  saved: SavedForMaxSim,
  options: object,
): Call {
  const complaint = new Complaint(CALL_NAMES.maxSimBackward);
  checkNames(options, KNOWN_BACKWARD, complaint);
  checkSignal((options as { signal?: unknown }).signal, complaint);
  if (typeof saved !== "object" || saved === null) {
    throw complaint.type(`saved is ${show(saved)} but must be { queries, documents, keys }`);
  }
  const { queries, documents: rowsOfAll, keys } = saved;
  const { q, k } = checkBoth(queries, rowsOfAll, complaint);
  const batched = (q.tensor as AnyTensor).shape.length === 3, sets = batched ? [q.size[1]] : [];
  const rank = sets.length + 2, keysShape: unknown = keys?.shape;
  if (Array.isArray(keysShape) && keysShape.length !== rank) {
    throw complaint.type(
      `saved.keys has rank ${keysShape.length}, shape ${
        show(keysShape)
      }, but rank ${rank} was wanted`,
    );
  }
  const documents: number = Array.isArray(keysShape) ? keysShape[rank - 2] : 0;
  const shape = [...sets, documents];
  const documentKeys = viewResult(
    ...["documentKeys", "saved.keys", keys, "i32", [...shape, q.size[2]], complaint] as const,
  );
  const dDocumentScores = viewResult(
    ...["dDocumentScores", "dScores", dScores, "f32", shape, complaint] as const,
  );
  const views = { q, k, dDocumentScores, documentKeys };
  checkKeys(views.documentKeys, k.size[2], complaint);
  // where documents begin is in their keys: what counts here is how many there are, and all rows
  return callOf("maxSimBackward", views, [...new Array<number>(documents).fill(0), k.size[2]]);
}
