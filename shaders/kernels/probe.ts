// The first kernel that a device runs: memory in and out, workgroup memory, a barrier, fma and exp. A device that
// does not get these right is not used.

/** WGSL for n values in one workgroup: `out[i] = in[n - 1 - i] * in[i] + exp(in[i])`. */
export function probeShader(n: number): string {
  return `@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> results: array<f32>;
var<workgroup> other: array<f32, ${n}>;
@compute @workgroup_size(${n})
fn main(@builtin(local_invocation_index) i: u32) {
  let x = values[i];
  other[${n - 1}u - i] = x;
  workgroupBarrier();
  results[i] = fma(other[i], x, exp2(x * 1.4426950408889634));
}
`;
}
