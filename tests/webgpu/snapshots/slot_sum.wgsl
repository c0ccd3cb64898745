// see params.wgsl
@group(0) @binding(33) var<storage, read> slots: array<f32>;
@group(0) @binding(23) var<storage, read_write> dcaptured: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let e = (U.item_base + wid.x) * 64u + li;
  if (e >= U.count) { return; }
  var sum = 0.0;
  for (var slot = 0u; slot < U.num_splits; slot++) { sum += slots[slot * U.count + e]; }
  let at = U.dcaptured_at + e;
  if (U.accumulate > 0u) { dcaptured[at] += sum; } else { dcaptured[at] = sum; }
}
