// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
fn cap_tanh(x: vec4<f32>) -> vec4<f32> {
  let t = exp2(abs(x) * -2.8853900817779268);
  let big = sign(x) * (1.0 - t) / (1.0 + t);
  let y = x * x;
  let small = x * (1.0 + y * (-0.33333333 + y * (0.13333333 + y * (-0.05396825 + y * 0.02186949))));
  return select(big, small, abs(x) < vec4<f32>(0.25));
}
// d(s) / d(product): 1 - tanh^2, without the difference of near numbers when saturated
fn cap_slope(x: vec4<f32>) -> vec4<f32> {
  let t = exp2(abs(x) * -2.8853900817779268); let u = 1.0 + t;
  return 4.0 * t / (u * u);
}
fn minus_slope(batch: u32, head: u32) -> f32 {
  return -bitcast<f32>(schedule[U.alibi_slopes_at + batch * U.alibi_slopes_batch + head * U.alibi_slopes_head]);
}
fn minus_slopes(batch: u32, head: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(minus_slope(batch, head.x), minus_slope(batch, head.y), minus_slope(batch, head.z), minus_slope(batch, head.w));
}
@group(0) @binding(13) var<storage, read> bias: array<f32>;
fn bias_at(i: u32) -> f32 { return bias[i]; }
fn bias_value(at: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(bias_at(at.x), bias_at(at.y), bias_at(at.z), bias_at(at.w));
}
// minus infinity by its bits: WGSL has no literal for it
fn is_hole(b: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(b) == vec4<u32>(0xff800000u); }
fn mask_byte(i: u32) -> bool { return ((schedule[i >> 2u] >> ((i & 3u) * 8u)) & 0xffu) != 0u; }
fn mask_sees(at: vec4<u32>) -> vec4<bool> {
  return vec4<bool>(mask_byte(at.x), mask_byte(at.y), mask_byte(at.z), mask_byte(at.w));
}
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
fn load_k(at: u32, c: u32) -> vec4<f32> { return k[(at >> 2u) + c]; }
@group(0) @binding(28) var<storage, read> stats: array<vec4<f32>>;
fn is_top(x: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u); }
fn weight(s: vec4<f32>, row: vec4<f32>) -> vec4<f32> {
  let p = exp2(fma(s - vec4<f32>(row.x), vec4<f32>(1.4426950408889634), vec4<f32>(-row.z)));
  return select(p, vec4<f32>(1.0), is_top(s) & is_top(vec4<f32>(row.x)));
}
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 1>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 4>;
@group(0) @binding(24) var<storage, read_write> scores: array<f32>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let head = wid.y; let batch = wid.z; let kv_head = head / U.group; let tile = U.item_base + wid.x;
  let sequence = 4u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);
  let end = min(limit, U.length_k);
  let staged_scale = (U.scale / U.softcap);
  var s0_0 = vec4<f32>(0.0);
  let j_tiles = (U.length_k + 7u) / 8u;
  let i0 = (tile / j_tiles) * 2u; let j0 = (tile % j_tiles) * 8u;
  let key_0 = vec4<u32>(j0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let query0 = i0 + ty * 1u + 0u; let head0 = head;
  var stats0 = vec4<f32>(0.0); if (query0 < U.length_q) { stats0 = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query0 * U.group + head % U.group]; }
  let alibi_slopes_slope_q0 = minus_slope(batch, head0);
  let alibi_slopes_diagonal_q0 = f32(i32(query0) + offset);
  let bias_row_q0 = U.bias_at + batch * U.bias_batch + head0 * U.bias_head + query0 * U.bias_row;
  let mask_row_q0 = U.mask_at + batch * U.mask_batch + head0 * U.mask_head + query0 * U.mask_row;
  let last_query = i32(min(i0 + 2u, U.length_q)) - 1;
  var r0_0 = vec4<f32>(0.0);
  if (j0 < end && !(i32(j0) > last_query + high || i32(j0) + 7 < i32(i0) + low)) {
  let alibi_slopes_position_k0 = vec4<f32>(key_0);
  let bias_column_k0 = key_0 * U.bias_column;
  let mask_column_k0 = key_0 * U.mask_column;
  // S = Q K^T
  s0_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 2u) {
  workgroupBarrier();
  {
    let inside = c0 + stage_column < ((U.head_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = i0 + 0u + stage_row;
    if (inside && from0 < U.length_q) { x0 = load_q(q_row(batch, head, from0), c0 + stage_column) * staged_scale; }
    rt[(stage_row) / 1u][(stage_row) % 1u][stage_column] = x0;
  }
  {
    let inside = c0 + stage_column < ((U.head_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = j0 + 0u + stage_row;
    if (inside && from0 < end) { x0 = load_k(k_row(batch, kv_head, from0), c0 + stage_column); }
    var x1 = vec4<f32>(0.0); let from1 = j0 + 2u + stage_row;
    if (inside && from1 < end) { x1 = load_k(k_row(batch, kv_head, from1), c0 + stage_column); }
    var x2 = vec4<f32>(0.0); let from2 = j0 + 4u + stage_row;
    if (inside && from2 < end) { x2 = load_k(k_row(batch, kv_head, from2), c0 + stage_column); }
    var x3 = vec4<f32>(0.0); let from3 = j0 + 6u + stage_row;
    if (inside && from3 < end) { x3 = load_k(k_row(batch, kv_head, from3), c0 + stage_column); }
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = x0;
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = x1;
    ct[(stage_row + 4u) / 2u][(stage_row + 4u) % 2u][stage_column] = x2;
    ct[(stage_row + 6u) / 2u][(stage_row + 6u) % 2u][stage_column] = x3;
  }
  workgroupBarrier();
  for (var d = 0u; d < 2u; d += 1u) {
    {
      let b0 = ct[0][tx][d];
      let b1 = ct[1][tx][d];
      let b2 = ct[2][tx][d];
      let b3 = ct[3][tx][d];
      let a0 = rt[ty][0][d];
      let b_x0 = vec4<f32>(b0.x, b1.x, b2.x, b3.x);
      s0_0 = fma(vec4<f32>(a0.x), b_x0, s0_0);
      let b_y0 = vec4<f32>(b0.y, b1.y, b2.y, b3.y);
      s0_0 = fma(vec4<f32>(a0.y), b_y0, s0_0);
      let b_z0 = vec4<f32>(b0.z, b1.z, b2.z, b3.z);
      s0_0 = fma(vec4<f32>(a0.z), b_z0, s0_0);
      let b_w0 = vec4<f32>(b0.w, b1.w, b2.w, b3.w);
      s0_0 = fma(vec4<f32>(a0.w), b_w0, s0_0);
    }
  }
  }
  {
    let hi = min(i32(end) - 1, i32(query0) + high); let lo = i32(query0) + low;
  let seen0_0 = mask_sees(mask_row_q0 + mask_column_k0);
    s0_0 = cap_tanh(s0_0) * U.softcap;
    s0_0 = fma(vec4<f32>(alibi_slopes_slope_q0), abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k0)), s0_0);
    let b = bias_value(bias_row_q0 + bias_column_k0);
    s0_0 += b;
    let hide = (is_hole(b)) | (!seen0_0);
    let hidden = hide | ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    r0_0 = select(weight(s0_0, stats0), vec4<f32>(0.0), hidden);
  }
  }
  if (query0 < U.length_q) {
    let at = U.scores_at + batch * U.scores_batch + head * U.scores_head + query0 * U.scores_row;
    if (key_0.x < U.length_k) { scores[at + key_0.x] = r0_0.x; }
    if (key_0.y < U.length_k) { scores[at + key_0.y] = r0_0.y; }
    if (key_0.z < U.length_k) { scores[at + key_0.z] = r0_0.z; }
    if (key_0.w < U.length_k) { scores[at + key_0.w] = r0_0.w; }
  }
}
