// see params.wgsl
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(31) var<storage, read_write> stats: array<vec4<f32>>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let head = wid.y; let batch = wid.z; let query = (U.item_base + wid.x) * 64u + li;
  if (query >= U.length_q) { return; }
  let x = lse[U.lse_at + batch * U.lse_batch + head * U.lse_head + query * U.lse_row];
  stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query * U.group + head % U.group] = vec4<f32>(x, 0.0, 0.0, x);
}
