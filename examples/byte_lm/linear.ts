/**
 * The small matrix products around attention, in plain TypeScript.
 *
 * One kernel serves all three products of a linear layer (forward, gradient of the input, gradient
 * of the weights) because a transpose is only a pair of strides. Matrices are row-major Float32Array.
 */

/** A matrix read through strides: element (i, j) is `data[i * rowStride + j * columnStride]`. */
interface MatrixView {
  data: Float32Array;
  rowStride: number;
  columnStride: number;
}

/**
 * Rows of a long reduction handled at a time: two 64-channel panels of this many rows are 64 KiB,
 * so the weight gradient walks cached memory instead of the whole batch once per tile.
 */
const REDUCTION_BLOCK = 128;

/** `y += x · w`, with x `[rows, inputs]`, w `[inputs, outputs]`, y `[rows, outputs]`. */
export function addLinear(
  x: Float32Array,
  w: Float32Array,
  y: Float32Array,
  inputs: number,
  outputs: number,
): void {
  const rows = x.length / inputs;
  addProduct(
    rows,
    outputs,
    0,
    inputs,
    rowMajor(x, inputs),
    rowMajor(w, outputs),
    y,
  );
}

/** Gradients of `y = x · w`: `dx += dy · wᵀ` and `dw += xᵀ · dy`. */
export function addLinearGradients(
  x: Float32Array,
  w: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
  dw: Float32Array,
  inputs: number,
  outputs: number,
): void {
  const rows = x.length / inputs;
  addProduct(
    rows,
    inputs,
    0,
    outputs,
    rowMajor(dy, outputs),
    transposed(w, outputs),
    dx,
  );
  for (let start = 0; start < rows; start += REDUCTION_BLOCK) {
    const end = Math.min(rows, start + REDUCTION_BLOCK);
    addProduct(
      inputs,
      outputs,
      start,
      end,
      transposed(x, inputs),
      rowMajor(dy, outputs),
      dw,
    );
  }
}

function rowMajor(data: Float32Array, columns: number): MatrixView {
  return { data, rowStride: columns, columnStride: 1 };
}

function transposed(data: Float32Array, columns: number): MatrixView {
  return { data, rowStride: 1, columnStride: columns };
}

/** `c[i, j] += Σ a[i, t] · b[t, j]` for t from `start` to `end`; c is row-major `[rows, columns]`. */
function addProduct(
  rows: number,
  columns: number,
  start: number,
  end: number,
  a: MatrixView,
  b: MatrixView,
  c: Float32Array,
): void {
  const wholeRows = rows - rows % 4;
  const wholeColumns = columns - columns % 4;
  for (let i = 0; i < wholeRows; i += 4) {
    for (let j = 0; j < wholeColumns; j += 4) {
      addTile(i, j, start, end, a, b, c, columns);
    }
  }
  addEdge(0, wholeRows, wholeColumns, columns, start, end, a, b, c, columns);
  addEdge(wholeRows, rows, 0, columns, start, end, a, b, c, columns);
}

/**
 * A 4×4 tile of c, its sums in registers: eight loads feed sixteen multiply-adds.
 * Written out because V8 keeps locals in registers but never array elements.
 */
function addTile(
  row: number,
  column: number,
  start: number,
  end: number,
  { data: a, rowStride: aRow, columnStride: aStep }: MatrixView,
  { data: b, rowStride: bStep, columnStride: bColumn }: MatrixView,
  c: Float32Array,
  columns: number,
): void {
  let c00 = 0, c01 = 0, c02 = 0, c03 = 0;
  let c10 = 0, c11 = 0, c12 = 0, c13 = 0;
  let c20 = 0, c21 = 0, c22 = 0, c23 = 0;
  let c30 = 0, c31 = 0, c32 = 0, c33 = 0;
  let p = row * aRow + start * aStep;
  let q = column * bColumn + start * bStep;
  for (let t = start; t < end; t++) {
    const b0 = b[q]!,
      b1 = b[q + bColumn]!,
      b2 = b[q + 2 * bColumn]!,
      b3 = b[q + 3 * bColumn]!;
    const a0 = a[p]!;
    c00 += a0 * b0, c01 += a0 * b1, c02 += a0 * b2, c03 += a0 * b3;
    const a1 = a[p + aRow]!;
    c10 += a1 * b0, c11 += a1 * b1, c12 += a1 * b2, c13 += a1 * b3;
    const a2 = a[p + 2 * aRow]!;
    c20 += a2 * b0, c21 += a2 * b1, c22 += a2 * b2, c23 += a2 * b3;
    const a3 = a[p + 3 * aRow]!;
    c30 += a3 * b0, c31 += a3 * b1, c32 += a3 * b2, c33 += a3 * b3;
    p += aStep;
    q += bStep;
  }
  let r = row * columns + column;
  c[r]! += c00, c[r + 1]! += c01, c[r + 2]! += c02, c[r + 3]! += c03;
  r += columns;
  c[r]! += c10, c[r + 1]! += c11, c[r + 2]! += c12, c[r + 3]! += c13;
  r += columns;
  c[r]! += c20, c[r + 1]! += c21, c[r + 2]! += c22, c[r + 3]! += c23;
  r += columns;
  c[r]! += c30, c[r + 1]! += c31, c[r + 2]! += c32, c[r + 3]! += c33;
}

/** The rows and columns that do not fill a tile, one element at a time. */
function addEdge(
  rowStart: number,
  rowEnd: number,
  columnStart: number,
  columnEnd: number,
  start: number,
  end: number,
  a: MatrixView,
  b: MatrixView,
  c: Float32Array,
  columns: number,
): void {
  for (let i = rowStart; i < rowEnd; i++) {
    for (let j = columnStart; j < columnEnd; j++) {
      let sum = 0;
      for (let t = start; t < end; t++) {
        sum += a.data[i * a.rowStride + t * a.columnStride]! *
          b.data[t * b.rowStride + j * b.columnStride]!;
      }
      c[i * columns + j]! += sum;
    }
  }
}
