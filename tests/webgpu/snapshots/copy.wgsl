// see params.wgsl
@group(0) @binding(38) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> schedule: array<u32>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let i = (wid.y * 16384u + U.item_base + wid.x) * 256u + li;
  if (i < U.count) { schedule[U.target_at + i] = source[U.source_at + i]; }
}
