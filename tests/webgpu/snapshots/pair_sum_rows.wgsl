// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
fn minus_slope(batch: u32, head: u32) -> f32 {
  return -bitcast<f32>(schedule[U.alibi_slopes_at + batch * U.alibi_slopes_batch + head * U.alibi_slopes_head]);
}
fn minus_slopes(batch: u32, head: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(minus_slope(batch, head.x), minus_slope(batch, head.y), minus_slope(batch, head.z), minus_slope(batch, head.w));
}
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
fn load_k(at: u32, c: u32) -> vec4<f32> { return k[(at >> 2u) + c]; }
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
fn load_v(at: u32, c: u32) -> vec4<f32> { return v[(at >> 2u) + c]; }
@group(0) @binding(7) var<storage, read> dout: array<vec4<f32>>;
fn load_dout(at: u32, c: u32) -> vec4<f32> { return dout[(at >> 2u) + c]; }
@group(0) @binding(28) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(29) var<storage, read_write> row_sums: array<f32>;
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
fn v_row(b: u32, h: u32, i: u32) -> u32 {
  return U.v_at + b * U.v_batch + h * U.v_head + i * U.v_row;
}
fn dout_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dout_at + b * U.dout_batch + h * U.dout_head + i * U.dout_row;
}
fn is_top(x: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u); }
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 1>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 4>;
var<workgroup> shares: array<f32, 4>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let sum_head = wid.y; let sum_batch = wid.z; let tile = U.item_base + wid.x;
  let j_tiles = 1u;
  let i_tile = (tile / j_tiles) * 2u; let j_tile = (tile % j_tiles) * 8u;
  let staged_scale = U.scale;
  var s0_0 = vec4<f32>(0.0);
  var dp0_0 = vec4<f32>(0.0);
  var acc0_0 = vec4<f32>(0.0);
  for (var batch = sum_batch; batch < sum_batch + 1u; batch++) {
  let sequence = 4u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);
  let end = min(limit, U.length_k);
  for (var head = sum_head; head < sum_head + 1u; head++) {
  let kv_head = head / U.group;
  let stats_base = (batch * U.kv_heads + kv_head) * U.length_q * U.group + head % U.group;
  for (var i0 = i_tile; i0 < min(i_tile + 1u, U.length_q); i0 += 2u) {
  let query0 = i0 + ty * 1u + 0u; let head0 = head; var lse0 = 3.4028234e38; var delta0 = 0.0; var low_sum0 = 0.0;
  if (query0 < U.length_q) { let x = stats[stats_base + query0 * U.group]; lse0 = x.x; delta0 = x.y; low_sum0 = x.z; }
  let alibi_slopes_slope_q0 = minus_slope(batch, head0);
  let alibi_slopes_diagonal_q0 = f32(i32(query0) + offset);
  let last_query = i32(min(i0 + 2u, U.length_q)) - 1;
  for (var j0 = j_tile; j0 < end; j0 += 8u) {
  // tiles that the band does not touch are skipped
  if (!(i32(j0) > last_query + high || i32(j0) + 7 < i32(i0) + low)) {
  let key_0 = vec4<u32>(j0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let alibi_slopes_position_k0 = vec4<f32>(key_0);
  // dP = dOut V^T
  dp0_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 2u) {
  workgroupBarrier();
  {
    let inside = c0 + stage_column < ((U.value_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = i0 + 0u + stage_row;
    if (inside && from0 < U.length_q) { x0 = load_dout(dout_row(batch, head, from0), c0 + stage_column); }
    rt[(stage_row) / 1u][(stage_row) % 1u][stage_column] = x0;
  }
  {
    let inside = c0 + stage_column < ((U.value_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = j0 + 0u + stage_row;
    if (inside && from0 < end) { x0 = load_v(v_row(batch, kv_head, from0), c0 + stage_column); }
    var x1 = vec4<f32>(0.0); let from1 = j0 + 2u + stage_row;
    if (inside && from1 < end) { x1 = load_v(v_row(batch, kv_head, from1), c0 + stage_column); }
    var x2 = vec4<f32>(0.0); let from2 = j0 + 4u + stage_row;
    if (inside && from2 < end) { x2 = load_v(v_row(batch, kv_head, from2), c0 + stage_column); }
    var x3 = vec4<f32>(0.0); let from3 = j0 + 6u + stage_row;
    if (inside && from3 < end) { x3 = load_v(v_row(batch, kv_head, from3), c0 + stage_column); }
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
      dp0_0 = fma(vec4<f32>(a0.x), b_x0, dp0_0);
      let b_y0 = vec4<f32>(b0.y, b1.y, b2.y, b3.y);
      dp0_0 = fma(vec4<f32>(a0.y), b_y0, dp0_0);
      let b_z0 = vec4<f32>(b0.z, b1.z, b2.z, b3.z);
      dp0_0 = fma(vec4<f32>(a0.z), b_z0, dp0_0);
      let b_w0 = vec4<f32>(b0.w, b1.w, b2.w, b3.w);
      dp0_0 = fma(vec4<f32>(a0.w), b_w0, dp0_0);
    }
  }
  }
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
  // acc += term(P (dP - delta))
  {
    let hi = min(i32(end) - 1, i32(query0) + high); let lo = i32(query0) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
    s0_0 = fma(vec4<f32>(alibi_slopes_slope_q0), abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k0)), s0_0);
    var log2p = fma(s0_0 - vec4<f32>(lse0), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum0));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s0_0) & vec4<bool>(is_top(vec4<f32>(lse0)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (dp0_0 - vec4<f32>(delta0));
    acc0_0 += select(-ds * abs(vec4<f32>(alibi_slopes_diagonal_q0) - vec4<f32>(alibi_slopes_position_k0)), vec4<f32>(0.0), outside | vec4<bool>(query0 >= U.length_q));
  }
  }
  }
  }
  }
  }
  // sum over what repeats
  workgroupBarrier();
  shares[li] = acc0_0[0] + acc0_0[1] + acc0_0[2] + acc0_0[3];
  workgroupBarrier();
  if (tx == 0u) {
    var x = 0.0;
    x += shares[ty * 2u + 0u];
    x += shares[ty * 2u + 1u];
    if ((i_tile + ty * 1u + 0u) < U.length_q) { row_sums[(sum_batch * U.kv_heads * U.group + sum_head) * U.length_q + (i_tile + ty * 1u + 0u)] = x; }
  }
}
