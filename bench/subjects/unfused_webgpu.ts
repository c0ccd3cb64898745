/**
 * Attention as three kernels that write the whole score matrix, what a competent person would write
 * before knowing better: two tiled products and a row softmax.
 *
 * Both products give a workgroup of 16 × 16 threads a tile of 64 × 64 results, 4 × 4 a thread, and
 * stage 16 steps of depth at a time in workgroup memory, padded against bank conflicts. Everything
 * inside is unrolled. Lengths and head dimensions are multiples of 64.
 * @module
 */

import type { Call, Case } from "../cases.ts";
import { dispatch, pipeline, readBack, storage, uniform, upload } from "../measure/gpu_device.ts";
import type { Entrant, Runner, Work } from "../measure/race.ts";
import { outputError } from "../oracle.ts";
import { mapTuple } from "../../tests/tuples.ts";

const TILE = 64;
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
const SCORES = product({
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
const OUTPUT = product({
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
const SOFTMAX = `${PARAMS}
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

/** As an entrant of a race. */
export function unfusedForward(device: GPUDevice, call: Call): Entrant {
  return { name: "unfused", tolerance: 1e-5, create: () => create(device, call) };
}

async function create(device: GPUDevice, call: Call): Promise<Runner> {
  const { c, data, causal } = call;
  const { lengthQ, lengthK, headDim } = c;
  if ([lengthQ, lengthK, headDim].some((n) => n % TILE) || c.queryHeads !== c.kvHeads) {
    throw new RangeError(`the unfused baseline takes multiples of ${TILE} and no shared heads`);
  }
  const heads = c.batch * c.queryHeads, headBytes = lengthQ * lengthK * 4;
  // As many heads at a time as one binding holds the scores of.
  const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
  const fitting = Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / headBytes);
  if (fitting < 1) throw new RangeError("the scores of one head exceed the largest binding");
  const [q, k, v] = mapTuple([data.q, data.k, data.v], (x) => upload(device, x));
  const out = storage(device, data.q.byteLength), at = Math.min(heads, fitting);
  const scores = storage(device, at * headBytes);
  const kernels = mapTuple([SCORES, SOFTMAX, OUTPUT], (code) => pipeline(device, code));
  const [first, second, third] = await Promise.all(kernels);
  const works: Work[] = [], buffers = [q, k, v, scores, out], rows = lengthQ / TILE;
  for (let head = 0; head < heads; head += at) {
    const count = Math.min(at, heads - head), params = uniform(device, parameters(c, head, causal));
    buffers.push(params);
    works.push(
      dispatch(device, first, [params, q, k, scores], [lengthK / TILE, rows, count]),
      dispatch(device, second, [params, scores], [lengthQ, count]),
      dispatch(device, third, [params, scores, v, out], [headDim / TILE, rows, count]),
    );
  }
  return {
    work: { name: "unfused", record: (pass) => works.forEach((work) => work.record!(pass)) },
    error: async () => outputError(call, new Float32Array(await readBack(device, out))),
    dispose: () => buffers.forEach((buffer) => buffer.destroy()),
  };
}

function parameters(c: Case, firstHead: number, causal: boolean): ArrayBuffer {
  const data = new ArrayBuffer(32);
  new Uint32Array(data).set([c.lengthQ, c.lengthK, c.headDim, firstHead, 0, causal ? 1 : 0]);
  new Float32Array(data)[4] = 1 / Math.sqrt(c.headDim);
  return data;
}
