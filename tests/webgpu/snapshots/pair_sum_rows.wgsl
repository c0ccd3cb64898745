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
@group(0) @binding(31) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(32) var<storage, read_write> row_sums: array<f32>;
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
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> shares: array<f32, 4>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let stage_slot = li % 4u + 4u * (li / 4u); let stage_step = (li / 4u) % 1u;
  let sum_head = wid.y; let sum_batch = wid.z; let tile = U.item_base + wid.x;
  let j_tiles = 1u;
  let i_tile = (tile / j_tiles) * 8u; let j_tile = (tile % j_tiles) * 8u;
  let staged_scale = U.scale;
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  var dp0_0 = vec4<f32>(0.0);
  var dp1_0 = vec4<f32>(0.0);
  var dp2_0 = vec4<f32>(0.0);
  var dp3_0 = vec4<f32>(0.0);
  var acc0_0 = vec4<f32>(0.0);
  var acc1_0 = vec4<f32>(0.0);
  var acc2_0 = vec4<f32>(0.0);
  var acc3_0 = vec4<f32>(0.0);
  for (var batch = sum_batch; batch < sum_batch + 1u; batch++) {
  let sequence = 4u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);
  let end = min(limit, U.length_k);
  for (var head = sum_head; head < sum_head + 1u; head++) {
  let kv_head = head / U.group;
  let stats_base = (batch * U.kv_heads + kv_head) * U.length_q * U.group + head % U.group;
  for (var i0 = i_tile; i0 < min(i_tile + 1u, U.length_q); i0 += 8u) {
  let query0 = i0 + ty * 4u + 0u; let head0 = head; var lse0 = 3.4028234e38; var delta0 = 0.0; var low_sum0 = 0.0;
  if (query0 < U.length_q) { let x = stats[stats_base + query0 * U.group]; lse0 = x.x; delta0 = x.y; low_sum0 = x.z; }
  let query1 = i0 + ty * 4u + 1u; let head1 = head; var lse1 = 3.4028234e38; var delta1 = 0.0; var low_sum1 = 0.0;
  if (query1 < U.length_q) { let x = stats[stats_base + query1 * U.group]; lse1 = x.x; delta1 = x.y; low_sum1 = x.z; }
  let query2 = i0 + ty * 4u + 2u; let head2 = head; var lse2 = 3.4028234e38; var delta2 = 0.0; var low_sum2 = 0.0;
  if (query2 < U.length_q) { let x = stats[stats_base + query2 * U.group]; lse2 = x.x; delta2 = x.y; low_sum2 = x.z; }
  let query3 = i0 + ty * 4u + 3u; let head3 = head; var lse3 = 3.4028234e38; var delta3 = 0.0; var low_sum3 = 0.0;
  if (query3 < U.length_q) { let x = stats[stats_base + query3 * U.group]; lse3 = x.x; delta3 = x.y; low_sum3 = x.z; }
  let alibi_slopes_slope_q0 = minus_slope(batch, head0);
  let alibi_slopes_diagonal_q0 = f32(i32(query0) + offset);
  let alibi_slopes_slope_q1 = minus_slope(batch, head1);
  let alibi_slopes_diagonal_q1 = f32(i32(query1) + offset);
  let alibi_slopes_slope_q2 = minus_slope(batch, head2);
  let alibi_slopes_diagonal_q2 = f32(i32(query2) + offset);
  let alibi_slopes_slope_q3 = minus_slope(batch, head3);
  let alibi_slopes_diagonal_q3 = f32(i32(query3) + offset);
  let last_query = i32(min(i0 + 8u, U.length_q)) - 1;
  for (var j0 = j_tile; j0 < end; j0 += 8u) {
  // tiles that the band does not touch are skipped
  if (!(i32(j0) > last_query + high || i32(j0) + 7 < i32(i0) + low)) {
  let key_0 = vec4<u32>(j0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let alibi_slopes_position_k0 = vec4<f32>(key_0);
  // dP = dOut V^T
  dp0_0 = vec4<f32>(0.0);
  dp1_0 = vec4<f32>(0.0);
  dp2_0 = vec4<f32>(0.0);
  dp3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(U.length_q, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = i0 + 4u * stage_slot + 0u; let x0_0 = load_dout(dout_row(batch, head, min(from0_0, last_row)), from_column);
    let from0_1 = i0 + 4u * stage_slot + 1u; let x0_1 = load_dout(dout_row(batch, head, min(from0_1, last_row)), from_column);
    let from0_2 = i0 + 4u * stage_slot + 2u; let x0_2 = load_dout(dout_row(batch, head, min(from0_2, last_row)), from_column);
    let from0_3 = i0 + 4u * stage_slot + 3u; let x0_3 = load_dout(dout_row(batch, head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < U.length_q, from0_1 < U.length_q, from0_2 < U.length_q, from0_3 < U.length_q);
    rt[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.x, x0_1.x, x0_2.x, x0_3.x), real0);
    rt[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.y, x0_1.y, x0_2.y, x0_3.y), real0);
    rt[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.z, x0_1.z, x0_2.z, x0_3.z), real0);
    rt[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.w, x0_1.w, x0_2.w, x0_3.w), real0);
    }
  }
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_v(v_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_v(v_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_v(v_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_v(v_row(batch, kv_head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < end, from0_1 < end, from0_2 < end, from0_3 < end);
    ct[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.x, x0_1.x, x0_2.x, x0_3.x), real0);
    ct[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.y, x0_1.y, x0_2.y, x0_3.y), real0);
    ct[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.z, x0_1.z, x0_2.z, x0_3.z), real0);
    ct[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.w, x0_1.w, x0_2.w, x0_3.w), real0);
    }
  }
  workgroupBarrier();
  for (var d = 0u; d < 2u; d++) {
    {
      let a0 = rt[d][0][ty * 1u + 0u];
      let b0 = ct[d][0][tx + 0u];
      dp0_0 = fma(vec4<f32>(a0.x), b0, dp0_0);
      dp1_0 = fma(vec4<f32>(a0.y), b0, dp1_0);
      dp2_0 = fma(vec4<f32>(a0.z), b0, dp2_0);
      dp3_0 = fma(vec4<f32>(a0.w), b0, dp3_0);
    }
    {
      let a0 = rt[d][1][ty * 1u + 0u];
      let b0 = ct[d][1][tx + 0u];
      dp0_0 = fma(vec4<f32>(a0.x), b0, dp0_0);
      dp1_0 = fma(vec4<f32>(a0.y), b0, dp1_0);
      dp2_0 = fma(vec4<f32>(a0.z), b0, dp2_0);
      dp3_0 = fma(vec4<f32>(a0.w), b0, dp3_0);
    }
  }
  }
  // S = Q K^T
  s0_0 = vec4<f32>(0.0);
  s1_0 = vec4<f32>(0.0);
  s2_0 = vec4<f32>(0.0);
  s3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(U.length_q, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = i0 + 4u * stage_slot + 0u; let x0_0 = load_q(q_row(batch, head, min(from0_0, last_row)), from_column) * staged_scale;
    let from0_1 = i0 + 4u * stage_slot + 1u; let x0_1 = load_q(q_row(batch, head, min(from0_1, last_row)), from_column) * staged_scale;
    let from0_2 = i0 + 4u * stage_slot + 2u; let x0_2 = load_q(q_row(batch, head, min(from0_2, last_row)), from_column) * staged_scale;
    let from0_3 = i0 + 4u * stage_slot + 3u; let x0_3 = load_q(q_row(batch, head, min(from0_3, last_row)), from_column) * staged_scale;
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < U.length_q, from0_1 < U.length_q, from0_2 < U.length_q, from0_3 < U.length_q);
    rt[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.x, x0_1.x, x0_2.x, x0_3.x), real0);
    rt[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.y, x0_1.y, x0_2.y, x0_3.y), real0);
    rt[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.z, x0_1.z, x0_2.z, x0_3.z), real0);
    rt[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.w, x0_1.w, x0_2.w, x0_3.w), real0);
    }
  }
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_k(k_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_k(k_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_k(k_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_k(k_row(batch, kv_head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < end, from0_1 < end, from0_2 < end, from0_3 < end);
    ct[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.x, x0_1.x, x0_2.x, x0_3.x), real0);
    ct[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.y, x0_1.y, x0_2.y, x0_3.y), real0);
    ct[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.z, x0_1.z, x0_2.z, x0_3.z), real0);
    ct[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = select(vec4<f32>(0.0), vec4<f32>(x0_0.w, x0_1.w, x0_2.w, x0_3.w), real0);
    }
  }
  workgroupBarrier();
  for (var d = 0u; d < 2u; d++) {
    {
      let a0 = rt[d][0][ty * 1u + 0u];
      let b0 = ct[d][0][tx + 0u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = rt[d][1][ty * 1u + 0u];
      let b0 = ct[d][1][tx + 0u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
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
  {
    let hi = min(i32(end) - 1, i32(query1) + high); let lo = i32(query1) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
    s1_0 = fma(vec4<f32>(alibi_slopes_slope_q1), abs(vec4<f32>(alibi_slopes_diagonal_q1) - vec4<f32>(alibi_slopes_position_k0)), s1_0);
    var log2p = fma(s1_0 - vec4<f32>(lse1), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum1));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s1_0) & vec4<bool>(is_top(vec4<f32>(lse1)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (dp1_0 - vec4<f32>(delta1));
    acc1_0 += select(-ds * abs(vec4<f32>(alibi_slopes_diagonal_q1) - vec4<f32>(alibi_slopes_position_k0)), vec4<f32>(0.0), outside | vec4<bool>(query1 >= U.length_q));
  }
  {
    let hi = min(i32(end) - 1, i32(query2) + high); let lo = i32(query2) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
    s2_0 = fma(vec4<f32>(alibi_slopes_slope_q2), abs(vec4<f32>(alibi_slopes_diagonal_q2) - vec4<f32>(alibi_slopes_position_k0)), s2_0);
    var log2p = fma(s2_0 - vec4<f32>(lse2), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum2));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s2_0) & vec4<bool>(is_top(vec4<f32>(lse2)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (dp2_0 - vec4<f32>(delta2));
    acc2_0 += select(-ds * abs(vec4<f32>(alibi_slopes_diagonal_q2) - vec4<f32>(alibi_slopes_position_k0)), vec4<f32>(0.0), outside | vec4<bool>(query2 >= U.length_q));
  }
  {
    let hi = min(i32(end) - 1, i32(query3) + high); let lo = i32(query3) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
    s3_0 = fma(vec4<f32>(alibi_slopes_slope_q3), abs(vec4<f32>(alibi_slopes_diagonal_q3) - vec4<f32>(alibi_slopes_position_k0)), s3_0);
    var log2p = fma(s3_0 - vec4<f32>(lse3), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum3));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s3_0) & vec4<bool>(is_top(vec4<f32>(lse3)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (dp3_0 - vec4<f32>(delta3));
    acc3_0 += select(-ds * abs(vec4<f32>(alibi_slopes_diagonal_q3) - vec4<f32>(alibi_slopes_position_k0)), vec4<f32>(0.0), outside | vec4<bool>(query3 >= U.length_q));
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
    if ((i_tile + ty * 4u + 0u) < U.length_q) { row_sums[(sum_batch * U.kv_heads * U.group + sum_head) * U.length_q + (i_tile + ty * 4u + 0u)] = x; }
  }
  workgroupBarrier();
  shares[li] = acc1_0[0] + acc1_0[1] + acc1_0[2] + acc1_0[3];
  workgroupBarrier();
  if (tx == 0u) {
    var x = 0.0;
    x += shares[ty * 2u + 0u];
    x += shares[ty * 2u + 1u];
    if ((i_tile + ty * 4u + 1u) < U.length_q) { row_sums[(sum_batch * U.kv_heads * U.group + sum_head) * U.length_q + (i_tile + ty * 4u + 1u)] = x; }
  }
  workgroupBarrier();
  shares[li] = acc2_0[0] + acc2_0[1] + acc2_0[2] + acc2_0[3];
  workgroupBarrier();
  if (tx == 0u) {
    var x = 0.0;
    x += shares[ty * 2u + 0u];
    x += shares[ty * 2u + 1u];
    if ((i_tile + ty * 4u + 2u) < U.length_q) { row_sums[(sum_batch * U.kv_heads * U.group + sum_head) * U.length_q + (i_tile + ty * 4u + 2u)] = x; }
  }
  workgroupBarrier();
  shares[li] = acc3_0[0] + acc3_0[1] + acc3_0[2] + acc3_0[3];
  workgroupBarrier();
  if (tx == 0u) {
    var x = 0.0;
    x += shares[ty * 2u + 0u];
    x += shares[ty * 2u + 1u];
    if ((i_tile + ty * 4u + 3u) < U.length_q) { row_sums[(sum_batch * U.kv_heads * U.group + sum_head) * U.length_q + (i_tile + ty * 4u + 3u)] = x; }
  }
}
