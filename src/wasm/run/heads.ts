// Rows of single heads of tensors of any type and strides as f32 rows in linear memory, for calls that work at once: some
// rows of one head at a time, so memory stays small.
import type { DType } from "../../tensor/dtype.ts";
import { placeOf, type View } from "../../tensor/view.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { copyBox, type Elements } from "../../tensor/copy.ts";
import { DTYPE_CODES } from "../module/dtype_codes.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { KernelExports } from "../module/module.ts";
import { elements, type ResultView } from "../memory/results.ts";

/** Rows of a head. */
export interface HeadRows {
  readonly batch: number;
  readonly head: number;
  readonly begin: number;
  readonly end: number;
}

/** Bytes of rows that are brought in at a time, about. */
const PIECE_BYTES = 2 ** 18;

/** All heads of a tensor, as many rows at a time as `rowBytes` for each allow. */
export function* headRows(
  [batches, heads, length]: readonly number[],
  rowBytes: number,
): Generator<HeadRows> {
  const rows = rowsAtATime(length!, rowBytes);
  for (let batch = 0; batch < batches!; batch++) {
    for (let head = 0; head < heads!; head++) {
      for (let begin = 0; begin < length!; begin += rows) {
        yield { batch, head, begin, end: Math.min(length!, begin + rows) };
      }
    }
  }
}

/** Rows that are brought in at a time, at most. */
export function rowsAtATime(length: number, rowBytes: number): number {
  return Math.max(1, Math.min(length, Math.floor(PIECE_BYTES / Math.max(1, rowBytes))));
}

/** Rows of a 16-bit or f32 tensor as f32 rows at `pointer`. */
export function bringHead(
  memory: LinearMemory,
  kernels: KernelExports,
  view: View,
  { batch, head, begin, end }: HeadRows,
  pointer: number,
  temporary: number,
): void {
  const columns = view.size[3], length = end - begin, n = length * columns;
  const offset = placeOf([batch, head, begin, 0], view.strides);
  const source = { array: elements(view.tensor as HostTensor), offset, strides: view.strides };
  const wide = view.dtype === "f32",
    array: Elements = wide ? memory.f32(pointer, n) : memory.u16(temporary, n);
  copyBox({ array, offset: 0, strides: [0, 0, columns, 1] }, source, [1, 1, length, columns]);
  if (!wide) {
    kernels.widen(temporary, pointer, n, DTYPE_CODES[view.dtype as DType]!);
  }
}

/** Writes rows of a result from f32 rows at `pointer`. */
export function takeHead(
  memory: LinearMemory,
  kernels: KernelExports,
  result: ResultView,
  { batch, head, begin, end }: HeadRows,
  pointer: number,
  temporary: number,
): void {
  const columns = result.size[3], length = end - begin, n = length * columns;
  let array: Elements = memory.f32(pointer, n);
  if (result.dtype !== "f32") {
    kernels.narrow(pointer, temporary, n, DTYPE_CODES[result.dtype]!);
    array = memory.u16(temporary, n);
  }
  const offset = placeOf([batch, head, begin, 0], result.strides);
  const target = { array: elements(result.tensor), offset, strides: result.strides };
  copyBox(target, { array, offset: 0, strides: [0, 0, columns, 1] }, [1, 1, length, columns]);
}
