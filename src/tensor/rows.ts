// Rows of host arrays: the columns of a view lie one behind the other, its rows need not.
import { bits } from "./dtype.ts";
import type { HostTensor } from "./tensor.ts";
import { count } from "./shape.ts";
import type { OperandSpec } from "./view.ts";

/** Sizes and strides of a view. */
type Rows = Pick<OperandSpec, "size" | "strides">;

/** Where the rows of a view begin, in elements. */
export function* rowsOf({ size: [batches, heads, rows], strides }: Rows): Generator<number> {
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      for (let r = 0; r < rows; r++) yield b * strides[0] + h * strides[1] + r * strides[2];
    }
  }
}

/** Whether two views of one size have their elements in the same places. */
export function sameRows(a: Rows, b: Rows): boolean {
  return a.size.every((n, axis) => n === 1 || a.strides[axis] === b.strides[axis]);
}

/** Copies the values of a tensor to the places of another, and nothing between them. */
export function copyRows(
  { data, rows }: { readonly data: HostTensor["data"]; readonly rows: Rows },
  to: { readonly data: HostTensor["data"]; readonly rows: Rows },
): void {
  const from = bits(data), target = bits(to.data), columns = rows.size[3];
  if (count(rows.size) === 0) return;
  const places = rowsOf(to.rows);
  for (const at of rowsOf(rows)) {
    target.set(from.subarray(at, at + columns), places.next().value!);
  }
}
