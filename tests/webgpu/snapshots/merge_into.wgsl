// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(21) var<storage, read> part_out: array<vec4<f32>>;
fn load_part_out(at: u32, c: u32) -> vec4<f32> { return part_out[(at >> 2u) + c]; }
@group(0) @binding(22) var<storage, read> part_lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
fn part_out_row(b: u32, h: u32, i: u32) -> u32 {
  return U.part_out_at + b * U.part_out_batch + h * U.part_out_head + i * U.part_out_row;
}
fn part_lse_row(b: u32, h: u32, i: u32) -> u32 {
  return U.part_lse_at + b * U.part_lse_batch + h * U.part_lse_head + i * U.part_lse_row;
}
fn out_row(b: u32, h: u32, i: u32) -> u32 {
  return U.out_at + b * U.out_batch + h * U.out_head + i * U.out_row;
}
fn lse_row(b: u32, h: u32, i: u32) -> u32 {
  return U.lse_at + b * U.lse_batch + h * U.lse_head + i * U.lse_row;
}
var<workgroup> old_lse: f32;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let query = U.item_base + wid.x; let head = wid.y; let batch = wid.z;
  let at = out_row(batch, head, query); let source = part_out_row(batch, head, query);
  let x = part_lse[part_lse_row(batch, head, query)]; let place = lse_row(batch, head, query);
  if (li == 0u) { if (U.accumulate > 0u) { old_lse = lse[place]; } else { old_lse = U.neg_inf; } }
  let y = workgroupUniformLoad(&old_lse);
  // weights of what is there and of the part
  let m = max(FLOOR, max(x, y));
  let new_weight = exp2((x - m) * 1.4426950408889634); let old_weight = exp2((y - m) * 1.4426950408889634);
  let l = new_weight + old_weight; let inverse = select(1.0 / l, 0.0, l == 0.0);
  let a = old_weight * inverse; let b = new_weight * inverse;
  for (var c = li; c < U.value_dim / 4u; c += 64u) {
    var old = vec4<f32>(0.0); if (U.accumulate > 0u) { old = out[(at >> 2u) + c]; }
    out[(at >> 2u) + c] = a * old + b * load_part_out(source, c);
  }
  if (li == 0u) { lse[place] = select(m + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0); }
}
