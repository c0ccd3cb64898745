// Gradients of late interaction on the CPU: each query's largest product goes back to one row, so there is little to do,
// and it is done on the calling thread, one set of queries after the other.
import { type AbortSignalLike, checkReach } from "../../backend/backend.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import { CALL_NAMES } from "../../problem/problem.ts";
import { resultSpecs } from "../../problem/results.ts";
import { copyBox } from "../../tensor/copy.ts";
import { BYTES } from "../../tensor/dtype.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { count } from "../../tensor/shape.ts";
import type { View } from "../../tensor/view.ts";
import { blockBytes } from "../memory/arena.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import { disposeResults, elements, makeResults, type ResultView } from "../memory/results.ts";
import type { KernelExports } from "../module/module.ts";
import { WasmTensor } from "../memory/tensors.ts";
import { SLACK } from "./boxes.ts";
import { bringHead, type HeadRows, takeHead } from "./heads.ts";

/** Documents whose gradients are added between two pauses: about a millisecond. */
const PIECE = 256;

/** Numbers of rows of one set, which lie one behind the other at `pointer`; throws where one is no row. */
function bringKeys(memory: LinearMemory, view: View, set: number, pointer: number, rows: number) {
  const { size: [, , documents, tokens], strides, tensor } = view;
  const array = memory.i32(pointer, documents * tokens);
  const source = { array: elements(tensor as HostTensor), offset: set * strides[1], strides };
  copyBox({ array, offset: 0, strides: [0, 0, tokens, 1] }, source, [1, 1, documents, tokens]);
  const bad = array.find((row) => row < -1 || row >= rows);
  if (bad === undefined) return;
  throw new RangeError(
    `Cannot run ${CALL_NAMES.maxSimBackward}: saved.keys has the row ${bad} but documents has ${rows} rows`,
  );
}

/** Where the rows of a tensor of this memory lie, if they are float32: it has no gaps. */
function placeOf({ tensor, dtype }: Pick<View, "tensor" | "dtype">): number | undefined {
  return tensor instanceof WasmTensor && dtype === "f32" ? tensor.pointer : undefined;
}

/** All rows of a set. */
const whole = ({ size }: Pick<View, "size">, head = 0): HeadRows => ({
  ...{ batch: 0, head, begin: 0, end: size[2] },
});

/** Bytes of what is brought in, one set of queries at a time with all rows of documents. */
function partsOf({ q, k, documentKeys }: Required<Views>) {
  const [, , tokens, dim] = q.size, rows = k.size[2], documents = documentKeys.size[2];
  const queries = 4 * tokens * dim, keys = 4 * rows * dim, inPlace = placeOf(k) !== undefined;
  return {
    // what is widened or narrowed on its way
    temporary: Math.max(queries, k.dtype === "f32" ? 0 : keys),
    ...{ q: queries, dq: queries, k: inPlace ? 0 : keys, dk: inPlace ? 0 : keys },
    ...{ scores: 4 * documents, keys: 4 * documents * tokens },
  };
}

/** Bytes that a call takes of the memory, results that stay among them. */
export function maxSimBytes(problem: AttentionProblem, views: Views): number {
  const parts = Object.values(partsOf(views as Required<Views>));
  const stay = resultSpecs(problem, views).filter(({ resident }) => resident);
  const results = stay.map(({ size, dtype }) => count(size) * BYTES[dtype]);
  return [...parts.map((bytes) => bytes + SLACK), ...results]
    .reduce((sum, bytes) => sum + blockBytes(bytes), 0);
}

/** dq and dk of a call. */
export function* maxSimGradients(
  memory: LinearMemory,
  kernels: KernelExports,
  problem: AttentionProblem,
  views: Views,
  signal: AbortSignalLike | undefined,
): Generator<"work", ResultView[], void> {
  const { q, k, dDocumentScores, documentKeys } = views as Required<Views>;
  const results = makeResults(memory, resultSpecs(problem, views)), [dq, dk] = results;
  const [, sets, tokens, dim] = q.size, rows = k.size[2], documents = documentKeys.size[2];
  const blocks: number[] = [];
  const allocate = (bytes: number) => {
    const pointer = memory.allocate(bytes + SLACK);
    blocks.push(pointer);
    return pointer;
  };
  try {
    const parts = partsOf(views as Required<Views>), temporary = allocate(parts.temporary);
    const ofQ = allocate(parts.q), ofDq = allocate(parts.dq);
    const ownK = placeOf(k), ownDk = placeOf(dk!);
    const ofK = ownK ?? allocate(parts.k), ofDk = ownDk ?? allocate(parts.dk);
    const ofScores = allocate(parts.scores), ofKeys = allocate(parts.keys);
    if (ownK === undefined) bringHead(memory, kernels, k, whole(k), ofK, temporary);
    memory.f32(ofDk, rows * dim).fill(0);
    yield "work";
    for (let set = 0; set < sets; set++) {
      // the event loop turned since the call began
      for (const view of [q, dDocumentScores, documentKeys]) {
        checkReach(view, CALL_NAMES[problem.pass]);
      }
      bringHead(memory, kernels, q, whole(q, set), ofQ, temporary);
      bringHead(memory, kernels, dDocumentScores, whole(dDocumentScores, set), ofScores, temporary);
      bringKeys(memory, documentKeys, set, ofKeys, rows);
      memory.f32(ofDq, tokens * dim).fill(0);
      for (let first = 0; first < documents; first += PIECE) {
        const n = Math.min(PIECE, documents - first), keys = ofKeys + 4 * tokens * first;
        const scores = ofScores + 4 * first;
        kernels.maxSimGradient(ofQ, ofK, keys, scores, ofDq, ofDk, n, tokens, dim);
        signal?.progress?.((set + (first + n) / documents) / sets);
        yield "work";
        signal?.throwIfAborted();
      }
      takeHead(memory, kernels, dq!, whole(q, set), ofDq, temporary);
    }
    if (ownDk === undefined) takeHead(memory, kernels, dk!, whole(k), ofDk, temporary);
    return results;
  } catch (error) {
    disposeResults(results);
    throw error;
  } finally {
    for (const block of blocks) memory.free(block);
  }
}
