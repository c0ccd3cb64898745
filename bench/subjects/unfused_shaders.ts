/**
 * Attention as three kernels that write the whole score matrix, what a competent person would write
 * before knowing better: two tiled products and a row softmax.
 *
 * Both products give a workgroup of 16 × 16 threads a tile of 64 × 64 results, 4 × 4 a thread, and
 * stage 16 steps of depth at a time in workgroup memory, padded against bank conflicts. Everything
 * inside is unrolled. Lengths and head dimensions are multiples of 64.
 *
 * Scores take groups [keys / 64, queries / 64, heads], softmax [queries, heads], output
 * [headDim / 64, queries / 64, heads]. Bindings, in order: parameters, q, k, scores; parameters,
 * scores; parameters, scores, v, out.
 * @module
 */

/** Rows and columns of a tile: sizes are multiples of it. */
export const TILE = 64;
const DEPTH = 16;
/** vec4 of a staged row, one of them padding. */
const PITCH = DEPTH / 4 + 1;
const PARTS = ["x", "y", "z", "w"];
const FOUR = [0, 1, 2, 3];

const PARAMS = `
struct Params { lengthQ: u32, lengthK: u32, headDim: u32, firstHead: u32, scale: f32, causal: u32 }`;

/** A product of two operands: what is left to each of the two. */
interface Product {
  readonly result: string;
  /** vec4 of the right operand that are staged. */
  readonly right: number;
  readonly begin: string;
  readonly loop: string;
  readonly stage: string;
  /** Multiplies one of the four vec4 of staged depth; a thread's rows of the left are a0 to a3. */
  readonly step: (d: number) => string[];
  readonly end: string[];
}

function product({ result, right, begin, loop, stage, step, end }: Product): string {
  const steps = FOUR.map((d) => {
    const rows = FOUR.map((i) => `let a${i} = left[mine + ${i * PITCH + d}u];`);
    return `    {\n      ${[...rows, ...step(d)].join("\n      ")}\n    }`;
  });
  return `${PARAMS}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> result: array<${result}>;
var<workgroup> left: array<vec4f, ${TILE * PITCH}>;
var<workgroup> right: array<vec4f, ${right}>;
@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let head = params.firstHead + group.z;
  let width = params.headDim / 4u;
  let row = group.y * ${TILE}u;
  let stagedRow = thread / ${DEPTH / 4}u;
  let stagedPart = thread % ${DEPTH / 4}u;
  let staged = stagedRow * ${PITCH}u + stagedPart;
  let mine = local.y * ${4 * PITCH}u;
  ${begin}
  for (${loop}) {
    ${stage}
    workgroupBarrier();
${steps.join("\n")}
    workgroupBarrier();
  }
  ${end.join("\n  ")}
}`;
}

/** What a thread's four rows and four columns are. */
const CELLS = FOUR.flatMap((i) => FOUR.map((j) => [i, j] as const));

/**
 * scores[head, i, j] = scale · q[i] · k[j], with −1e30 above the diagonal when causal. A thread's
 * columns are 16 apart, so that neighbours write side by side.
 */
export const SCORES: string = product({
  result: "f32",
  right: TILE * PITCH,
  begin: `let column = group.x * ${TILE}u;
  let fromQ = (head * params.lengthQ + row + stagedRow) * width + stagedPart;
  let fromK = (head * params.lengthK + column + stagedRow) * width + stagedPart;
  let theirs = local.x * ${PITCH}u;
  ${CELLS.map(([i, j]) => `var s${i}${j} = 0.0;`).join(" ")}`,
  loop: `var depth = 0u; depth < width; depth += ${DEPTH / 4}u`,
  stage: "left[staged] = a[fromQ + depth]; right[staged] = b[fromK + depth];",
  step: (d) => [
    ...FOUR.map((j) => `let b${j} = right[theirs + ${16 * j * PITCH + d}u];`),
    ...CELLS.flatMap(([i, j]) =>
      PARTS.map((p) => `s${i}${j} = fma(a${i}.${p}, b${j}.${p}, s${i}${j});`)
    ),
  ],
  end: [
    "let offset = i32(params.lengthK) - i32(params.lengthQ);",
    "let i0 = row + local.y * 4u;",
    "let j0 = column + local.x;",
    ...CELLS.map(([i, j]) => {
      const at = `(group.z * params.lengthQ + i0 + ${i}u) * params.lengthK + j0 + ${16 * j}u`;
      const hidden = `params.causal == 1u && i32(j0 + ${16 * j}u) > i32(i0 + ${i}u) + offset`;
      return `result[${at}] = select(s${i}${j} * params.scale, -1e30, ${hidden});`;
    }),
  ],
});

/** out[head, i] = Σ p[head, i, j] · v[j]. */
export const OUTPUT: string = product({
  result: "vec4f",
  right: DEPTH * TILE / 4,
  begin: `let keys = params.lengthK / 4u;
  let column = group.x * ${TILE / 4}u;
  let fromP = (group.z * params.lengthQ + row + stagedRow) * keys + stagedPart;
  let fromV = (head * params.lengthK + local.y) * width + column + local.x;
  ${FOUR.map((i) => `var o${i} = vec4f(0.0);`).join(" ")}`,
  loop: `var key = 0u; key < params.lengthK; key += ${DEPTH}u`,
  stage: "left[staged] = a[fromP + key / 4u]; right[thread] = b[fromV + key * width];",
  step: (d) => [
    ...FOUR.map((e) => `let b${e} = right[local.x + ${(4 * d + e) * TILE / 4}u];`),
    ...CELLS.map(([e, i]) => `o${i} = fma(vec4f(a${i}.${PARTS[e]}), b${e}, o${i});`),
  ],
  end: [
    "let i0 = head * params.lengthQ + row + local.y * 4u;",
    ...FOUR.map((i) => `result[(i0 + ${i}u) * width + column + local.x] = o${i};`),
  ],
});

const SOFTMAX_THREADS = 256;

/** Softmax of each row in place: one pass for maximum and sum, one to write. */
export const SOFTMAX: string = `${PARAMS}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scores: array<vec4f>;
var<workgroup> highests: array<f32, ${SOFTMAX_THREADS}>;
var<workgroup> sums: array<f32, ${SOFTMAX_THREADS}>;
@compute @workgroup_size(${SOFTMAX_THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let width = params.lengthK / 4u;
  let begin = (group.y * params.lengthQ + group.x) * width;
  var highest = -1e30;
  var sum = 0.0;
  for (var i = thread; i < width; i += ${SOFTMAX_THREADS}u) {
    let s = scores[begin + i];
    let now = max(highest, max(max(s.x, s.y), max(s.z, s.w)));
    let e = exp(s - now);
    sum = sum * exp(highest - now) + e.x + e.y + e.z + e.w;
    highest = now;
  }
  highests[thread] = highest;
  sums[thread] = sum;
  workgroupBarrier();
  for (var step = ${SOFTMAX_THREADS / 2}u; step > 0u; step /= 2u) {
    if (thread < step) {
      let a = highests[thread];
      let b = highests[thread + step];
      let now = max(a, b);
      sums[thread] = sums[thread] * exp(a - now) + sums[thread + step] * exp(b - now);
      highests[thread] = now;
    }
    workgroupBarrier();
  }
  highest = highests[0];
  let factor = 1.0 / sums[0];
  for (var i = thread; i < width; i += ${SOFTMAX_THREADS}u) {
    scores[begin + i] = exp(scores[begin + i] - highest) * factor;
  }
}`;

/** The parameters of the kernels from head `firstHead` on. */
export function parameters(
  { lengthQ, lengthK, headDim }: {
    readonly lengthQ: number;
    readonly lengthK: number;
    readonly headDim: number;
  },
  firstHead: number,
  causal: boolean,
): ArrayBuffer {
  const data = new ArrayBuffer(32);
  new Uint32Array(data).set([lengthQ, lengthK, headDim, firstHead, 0, causal ? 1 : 0]);
  new Float32Array(data)[4] = 1 / Math.sqrt(headDim);
  return data;
}
