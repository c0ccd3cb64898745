// Kernels that go through a buffer once: narrowing f32 results to 16 bits, adding partial sums, and copying words.
import { PARAMS } from "../features/params.ts";
import { declare } from "../parts/bindings.ts";
import { tidy } from "../parts/text.ts";

/** Threads of a workgroup; each takes one word of the result. */
export const ELEMENTWISE_THREADS = 256;

/** Workgroups along x: more of them go to y. */
export const ELEMENTWISE_ROW = 16384;

const INPUTS = "@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>";
const INDEX =
  `let i = (wid.y * ${ELEMENTWISE_ROW}u + U.item_base + wid.x) * ${ELEMENTWISE_THREADS}u + li;`;

/** To the nearest, ties to even; by integers, because pack2x16float may truncate. */
export const ROUND: Readonly<Record<"f16" | "bf16", string>> = {
  f16: `fn narrow(x: f32) -> u32 {
  let bits = bitcast<u32>(x); let sign = (bits >> 16u) & 0x8000u; let a = bits & 0x7fffffffu;
  if (a > 0x7f800000u) { return sign | 0x7e00u; }
  if (a >= 0x47800000u) { return sign | 0x7c00u; }
  if (a < 0x33000000u) { return sign; }
  if (a < 0x38800000u) { // subnormal: shift the significand, with its hidden bit, into place
    let shift = 126u - (a >> 23u); let m = (a & 0x7fffffu) | 0x800000u;
    let kept = m >> shift; let rest = m & ((1u << shift) - 1u); let half = 1u << (shift - 1u);
    return sign | (kept + select(0u, 1u, rest > half || (rest == half && (kept & 1u) == 1u)));
  }
  return sign | ((a - 0x38000000u + 0xfffu + ((a >> 13u) & 1u)) >> 13u);
}`,
  bf16: `fn narrow(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}`,
};

/** f32 to 16 bits, two elements a word. U.count: elements. */
export function narrowShader(dtype: "f16" | "bf16"): string {
  return tidy(`${PARAMS}
${declare("source", "f32")}
${declare("result", "u32", "read_write")}
${ROUND[dtype]}
@compute @workgroup_size(${ELEMENTWISE_THREADS})
fn main(${INPUTS}) {
  ${INDEX}
  if (2u * i >= U.count) { return; }
  var high = 0u; if (2u * i + 1u < U.count) { high = narrow(source[2u * i + 1u]); }
  result[i] = narrow(source[2u * i]) | (high << 16u);
}`);
}

/** result += source. U.count: elements. */
export function addShader(): string {
  return tidy(`${PARAMS}
${declare("source", "f32")}
${declare("result", "f32", "read_write")}
@compute @workgroup_size(${ELEMENTWISE_THREADS})
fn main(${INPUTS}) {
  ${INDEX}
  if (i < U.count) { result[i] += source[i]; }
}`);
}

/** Takes a component of each vec4 of `source`: that at `source_at`. U.count: elements. */
export function componentShader(): string {
  return tidy(`${PARAMS}
${declare("source", "f32")}
${declare("result", "f32", "read_write")}
@compute @workgroup_size(${ELEMENTWISE_THREADS})
fn main(${INPUTS}) {
  ${INDEX}
  if (i < U.count) { result[i] = source[4u * i + U.source_at]; }
}`);
}

/** Copies `count` words of `source` from `source_at` on into the schedule buffer, from word `target_at` on. */
export function copyShader(): string {
  return tidy(`${PARAMS}
${declare("source", "u32")}
${declare("schedule", "u32", "read_write")}
@compute @workgroup_size(${ELEMENTWISE_THREADS})
fn main(${INPUTS}) {
  ${INDEX}
  if (i < U.count) { schedule[U.target_at + i] = source[U.source_at + i]; }
}`);
}
