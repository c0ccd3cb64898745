// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
fn score_mod_exp4(x: vec4<f32>) -> vec4<f32> {
  let y = clamp(x, vec4<f32>(-104.0), vec4<f32>(89.0));
  let k = round(y * 1.4426950408889634);
  let r = fma(-k, vec4<f32>(-0.00021219444005471377), fma(-k, vec4<f32>(0.693359375), y));
  let p = fma(fma(fma(fma(fma(fma(fma(vec4<f32>(0.0001984126984126984), r, vec4<f32>(0.001388888888888889)), r, vec4<f32>(0.008333333333333333)), r, vec4<f32>(0.041666666666666664)), r, vec4<f32>(0.16666666666666666)), r, vec4<f32>(0.5)), r, vec4<f32>(1)), r, vec4<f32>(1));
  let n = vec4<i32>(k); let h = n >> vec4<u32>(1u);
  let scale = bitcast<vec4<f32>>((h + vec4<i32>(127)) << vec4<u32>(23u));
  let rest = bitcast<vec4<f32>>((n - h + vec4<i32>(127)) << vec4<u32>(23u));
  return select(p * scale * rest, x, (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
}
fn score_mod_tanh4(x: vec4<f32>) -> vec4<f32> {
  let y = x * x;
  let small = fma(-x * y, fma(y, vec4<f32>(14.0), vec4<f32>(315.0)) / fma(y, fma(y, vec4<f32>(15.0), vec4<f32>(420.0)), vec4<f32>(945.0)), x);
  let big = vec4<f32>(1.0) - 2.0 / (score_mod_exp4(2.0 * abs(x)) + vec4<f32>(1.0));
  return select(select(big, -big, x < vec4<f32>(0.0)), small, abs(x) < vec4<f32>(0.625));
}
fn score_mod_float1(at: i32) -> f32 {
  return bitcast<f32>(schedule[u32(at)]);
}
fn score_mod_query_0(batch: u32, head: u32, query: u32, offset: i32) -> i32 {
  let n0 = i32(head + U.head_begin);
  return n0;
}
fn score_mod_query_1(batch: u32, head: u32, query: u32, offset: i32) -> i32 {
  let n0 = i32(query) + (offset + i32(U.key_begin));
  return n0;
}
fn score_mod_query_2(batch: u32, head: u32, query: u32, offset: i32) -> f32 {
  let n0 = i32(head + U.head_begin);
  let n1 = score_mod_float1(i32(U.score_mod_at + U.batch + 0u) + n0);
  return n1;
}
fn score_mod_query_3(batch: u32, head: u32, query: u32, offset: i32) -> f32 {
  let n0 = i32(head / U.group + U.kv_head_begin);
  let n1 = score_mod_float1(i32(U.score_mod_at + U.batch + 16u) + n0);
  return n1;
}
fn score_mod_query_4(batch: u32, head: u32, query: u32, offset: i32) -> f32 {
  let n0 = i32(head + U.head_begin);
  let n1 = score_mod_float1(i32(U.score_mod_at + U.batch + 0u) + n0);
  let n2 = 1.0f / n1;
  return n2;
}
fn score_mod_query_5(batch: u32, head: u32, query: u32, offset: i32) -> i32 {
  let n0 = i32(head / U.group + U.kv_head_begin);
  let n1 = n0 + i32(16);
  return n1;
}
fn score_mod_key_0(batch: u32, key: vec4<u32>) -> vec4<i32> {
  let n0 = vec4<i32>(key + vec4<u32>(U.key_begin));
  return n0;
}
fn score_mod_value(s: vec4<f32>, q0: i32, q1: i32, q2: f32, q3: f32, q4: f32, q5: i32, k0: vec4<i32>) -> vec4<f32> {
  let n0 = s;
  let n1 = n0 / vec4<f32>(q2);
  let n2 = score_mod_tanh4(n1);
  let n3 = vec4<f32>(q2) * n2;
  let n4 = vec4<i32>(q1) - k0;
  let n5 = abs(n4);
  let n6 = vec4<f32>(n5);
  let n7 = n6 * vec4<f32>(q3);
  let n8 = n3 - n7;
  return n8;
}
fn score_mod_slope(s: vec4<f32>, q0: i32, q1: i32, q2: f32, q3: f32, q4: f32, q5: i32, k0: vec4<i32>) -> vec4<f32> {
  let n0 = s;
  let n1 = n0 / vec4<f32>(q2);
  let n2 = score_mod_tanh4(n1);
  let n3 = n2 * n2;
  let n4 = vec4<f32>(1.0f) - n3;
  let n5 = vec4<f32>(q2) * n4;
  let n6 = n5 * vec4<f32>(q4);
  return n6;
}
fn score_mod_share0(s: vec4<f32>, q0: i32, q1: i32, q2: f32, q3: f32, q4: f32, q5: i32, k0: vec4<i32>) -> vec4<f32> {
  let n0 = s;
  let n1 = n0 / vec4<f32>(q2);
  let n2 = score_mod_tanh4(n1);
  let n3 = n2 * n2;
  let n4 = vec4<f32>(1.0f) - n3;
  let n5 = vec4<f32>(q2) * n4;
  let n6 = n1 / vec4<f32>(q2);
  let n7 = -n6;
  let n8 = n5 * n7;
  let n9 = n2 + n8;
  return n9;
}
fn score_mod_place0(q0: i32, q1: i32, q2: f32, q3: f32, q4: f32, q5: i32, k0: vec4<i32>) -> vec4<i32> {
  return vec4<i32>(q0);
}
fn score_mod_share1(q0: i32, q1: i32, q2: f32, q3: f32, q4: f32, q5: i32, k0: vec4<i32>) -> vec4<f32> {
  let n0 = vec4<i32>(q1) - k0;
  let n1 = abs(n0);
  let n2 = vec4<f32>(n1);
  let n3 = n2 * vec4<f32>((-1.0f));
  return n3;
}
fn score_mod_place1(q0: i32, q1: i32, q2: f32, q3: f32, q4: f32, q5: i32, k0: vec4<i32>) -> vec4<i32> {
  return vec4<i32>(q5);
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
@group(0) @binding(33) var<storage, read_write> slots: array<f32>;
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
var<workgroup> shares: array<vec4<f32>, 4>;
var<workgroup> places: array<vec4<u32>, 4>;
const NOWHERE: u32 = 0xffffffffu;
var<private> element: u32 = NOWHERE;
var<private> sum: f32 = 0.0;
fn end_run(at: u32) {
  if (element != NOWHERE) { slots[at + element] += sum; }
  element = NOWHERE; sum = 0.0;
}
fn add_to(at: u32, place: u32, x: f32) {
  if (place != element) { end_run(at); element = place; }
  sum += x;
}
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let stage_slot = li % 4u + 4u * (li / 4u); let stage_step = (li / 4u) % 1u;
  let item = (U.item_base + wid.x) * 8u;
  let batch = schedule[item]; let first = schedule[item + 1u];
  let begin = schedule[item + 2u]; let end = schedule[item + 3u];
  let low = bitcast<i32>(schedule[item + 4u]); let high = bitcast<i32>(schedule[item + 5u]);
  let limit = schedule[item + 6u]; let slot = schedule[item + 7u];
  let offset = bitcast<i32>(schedule[4u * batch + 3u]);
  let kv_head = wid.y; let row_count = U.length_q * U.group;
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
  let sums_at = ((U.item_base + wid.x - U.target_at) * U.kv_heads + kv_head) * U.count;
  for (var e = li; e < U.count; e += 4u) { slots[sums_at + e] = 0.0; }
  let row0 = first + ty * 4u + 0u; let query0 = (row0 / U.group);
  let head0 = (kv_head * U.group + row0 % U.group);
  var lse0 = 3.4028234e38; var delta0 = 0.0; var low_sum0 = 0.0;
  if (row0 < row_count) { let x = stats[stats_base + row0]; lse0 = x.x; delta0 = x.y; low_sum0 = x.z; }
  let row1 = first + ty * 4u + 1u; let query1 = (row1 / U.group);
  let head1 = (kv_head * U.group + row1 % U.group);
  var lse1 = 3.4028234e38; var delta1 = 0.0; var low_sum1 = 0.0;
  if (row1 < row_count) { let x = stats[stats_base + row1]; lse1 = x.x; delta1 = x.y; low_sum1 = x.z; }
  let row2 = first + ty * 4u + 2u; let query2 = (row2 / U.group);
  let head2 = (kv_head * U.group + row2 % U.group);
  var lse2 = 3.4028234e38; var delta2 = 0.0; var low_sum2 = 0.0;
  if (row2 < row_count) { let x = stats[stats_base + row2]; lse2 = x.x; delta2 = x.y; low_sum2 = x.z; }
  let row3 = first + ty * 4u + 3u; let query3 = (row3 / U.group);
  let head3 = (kv_head * U.group + row3 % U.group);
  var lse3 = 3.4028234e38; var delta3 = 0.0; var low_sum3 = 0.0;
  if (row3 < row_count) { let x = stats[stats_base + row3]; lse3 = x.x; delta3 = x.y; low_sum3 = x.z; }
  let score_mod_x0_q0 = score_mod_query_0(batch, head0, query0, offset);
  let score_mod_x1_q0 = score_mod_query_1(batch, head0, query0, offset);
  let score_mod_x2_q0 = score_mod_query_2(batch, head0, query0, offset);
  let score_mod_x3_q0 = score_mod_query_3(batch, head0, query0, offset);
  let score_mod_x4_q0 = score_mod_query_4(batch, head0, query0, offset);
  let score_mod_x5_q0 = score_mod_query_5(batch, head0, query0, offset);
  let score_mod_x0_q1 = score_mod_query_0(batch, head1, query1, offset);
  let score_mod_x1_q1 = score_mod_query_1(batch, head1, query1, offset);
  let score_mod_x2_q1 = score_mod_query_2(batch, head1, query1, offset);
  let score_mod_x3_q1 = score_mod_query_3(batch, head1, query1, offset);
  let score_mod_x4_q1 = score_mod_query_4(batch, head1, query1, offset);
  let score_mod_x5_q1 = score_mod_query_5(batch, head1, query1, offset);
  let score_mod_x0_q2 = score_mod_query_0(batch, head2, query2, offset);
  let score_mod_x1_q2 = score_mod_query_1(batch, head2, query2, offset);
  let score_mod_x2_q2 = score_mod_query_2(batch, head2, query2, offset);
  let score_mod_x3_q2 = score_mod_query_3(batch, head2, query2, offset);
  let score_mod_x4_q2 = score_mod_query_4(batch, head2, query2, offset);
  let score_mod_x5_q2 = score_mod_query_5(batch, head2, query2, offset);
  let score_mod_x0_q3 = score_mod_query_0(batch, head3, query3, offset);
  let score_mod_x1_q3 = score_mod_query_1(batch, head3, query3, offset);
  let score_mod_x2_q3 = score_mod_query_2(batch, head3, query3, offset);
  let score_mod_x3_q3 = score_mod_query_3(batch, head3, query3, offset);
  let score_mod_x4_q3 = score_mod_query_4(batch, head3, query3, offset);
  let score_mod_x5_q3 = score_mod_query_5(batch, head3, query3, offset);
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  var dp0_0 = vec4<f32>(0.0);
  var dp1_0 = vec4<f32>(0.0);
  var dp2_0 = vec4<f32>(0.0);
  var dp3_0 = vec4<f32>(0.0);
  let staged_scale = U.scale;
  for (var k0 = begin; k0 < end; k0 += 8u) {
  let key_0 = vec4<u32>(k0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let score_mod_x0_k0 = score_mod_key_0(batch, key_0);
  // dP = dOut V^T
  dp0_0 = vec4<f32>(0.0);
  dp1_0 = vec4<f32>(0.0);
  dp2_0 = vec4<f32>(0.0);
  dp3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(row_count, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column);
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column);
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column);
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < row_count, from0_1 < row_count, from0_2 < row_count, from0_3 < row_count);
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
    let from0_0 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_v(v_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_v(v_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_v(v_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_v(v_row(batch, kv_head, min(from0_3, last_row)), from_column);
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
    let last_row = max(row_count, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = load_q(q_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column) * staged_scale;
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = load_q(q_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column) * staged_scale;
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = load_q(q_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column) * staged_scale;
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = load_q(q_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column) * staged_scale;
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < row_count, from0_1 < row_count, from0_2 < row_count, from0_3 < row_count);
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
    let from0_0 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_k(k_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_k(k_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_k(k_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = k0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_k(k_row(batch, kv_head, min(from0_3, last_row)), from_column);
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
  // sums += dS term
  {
    let hi = min(i32(end) - 1, i32(query0) + high); let lo = i32(query0) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
    let learned_share0 = score_mod_share0(s0_0, score_mod_x0_q0, score_mod_x1_q0, score_mod_x2_q0, score_mod_x3_q0, score_mod_x4_q0, score_mod_x5_q0, score_mod_x0_k0);
    let learned_place0 = score_mod_place0(score_mod_x0_q0, score_mod_x1_q0, score_mod_x2_q0, score_mod_x3_q0, score_mod_x4_q0, score_mod_x5_q0, score_mod_x0_k0);
    let learned_share1 = score_mod_share1(score_mod_x0_q0, score_mod_x1_q0, score_mod_x2_q0, score_mod_x3_q0, score_mod_x4_q0, score_mod_x5_q0, score_mod_x0_k0);
    let learned_place1 = score_mod_place1(score_mod_x0_q0, score_mod_x1_q0, score_mod_x2_q0, score_mod_x3_q0, score_mod_x4_q0, score_mod_x5_q0, score_mod_x0_k0);
    let slope_score_mod = score_mod_slope(s0_0, score_mod_x0_q0, score_mod_x1_q0, score_mod_x2_q0, score_mod_x3_q0, score_mod_x4_q0, score_mod_x5_q0, score_mod_x0_k0);
    s0_0 = score_mod_value(s0_0, score_mod_x0_q0, score_mod_x1_q0, score_mod_x2_q0, score_mod_x3_q0, score_mod_x4_q0, score_mod_x5_q0, score_mod_x0_k0);
    var log2p = fma(s0_0 - vec4<f32>(lse0), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum0));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s0_0) & vec4<bool>(is_top(vec4<f32>(lse0)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (dp0_0 - vec4<f32>(delta0));
    let none = outside | vec4<bool>(row0 >= row_count) | (ds == vec4<f32>(0.0));
    shares[li] = ds * learned_share0;
    places[li] = select(bitcast<vec4<u32>>(learned_place0), vec4<u32>(NOWHERE), none);
    workgroupBarrier();
    for (var t = 0u; t < 4u; t += 4u) {
    {
      let place = places[t + 0u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 0u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 1u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 1u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 2u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 2u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 3u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 3u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    }
    end_run(sums_at);
    workgroupBarrier();
    shares[li] = ds * learned_share1;
    places[li] = select(bitcast<vec4<u32>>(learned_place1), vec4<u32>(NOWHERE), none);
    workgroupBarrier();
    for (var t = 0u; t < 4u; t += 4u) {
    {
      let place = places[t + 0u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 0u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 1u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 1u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 2u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 2u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 3u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 3u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    }
    end_run(sums_at);
    workgroupBarrier();
  }
  {
    let hi = min(i32(end) - 1, i32(query1) + high); let lo = i32(query1) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
    let learned_share0 = score_mod_share0(s1_0, score_mod_x0_q1, score_mod_x1_q1, score_mod_x2_q1, score_mod_x3_q1, score_mod_x4_q1, score_mod_x5_q1, score_mod_x0_k0);
    let learned_place0 = score_mod_place0(score_mod_x0_q1, score_mod_x1_q1, score_mod_x2_q1, score_mod_x3_q1, score_mod_x4_q1, score_mod_x5_q1, score_mod_x0_k0);
    let learned_share1 = score_mod_share1(score_mod_x0_q1, score_mod_x1_q1, score_mod_x2_q1, score_mod_x3_q1, score_mod_x4_q1, score_mod_x5_q1, score_mod_x0_k0);
    let learned_place1 = score_mod_place1(score_mod_x0_q1, score_mod_x1_q1, score_mod_x2_q1, score_mod_x3_q1, score_mod_x4_q1, score_mod_x5_q1, score_mod_x0_k0);
    let slope_score_mod = score_mod_slope(s1_0, score_mod_x0_q1, score_mod_x1_q1, score_mod_x2_q1, score_mod_x3_q1, score_mod_x4_q1, score_mod_x5_q1, score_mod_x0_k0);
    s1_0 = score_mod_value(s1_0, score_mod_x0_q1, score_mod_x1_q1, score_mod_x2_q1, score_mod_x3_q1, score_mod_x4_q1, score_mod_x5_q1, score_mod_x0_k0);
    var log2p = fma(s1_0 - vec4<f32>(lse1), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum1));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s1_0) & vec4<bool>(is_top(vec4<f32>(lse1)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (dp1_0 - vec4<f32>(delta1));
    let none = outside | vec4<bool>(row1 >= row_count) | (ds == vec4<f32>(0.0));
    shares[li] = ds * learned_share0;
    places[li] = select(bitcast<vec4<u32>>(learned_place0), vec4<u32>(NOWHERE), none);
    workgroupBarrier();
    for (var t = 0u; t < 4u; t += 4u) {
    {
      let place = places[t + 0u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 0u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 1u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 1u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 2u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 2u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 3u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 3u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    }
    end_run(sums_at);
    workgroupBarrier();
    shares[li] = ds * learned_share1;
    places[li] = select(bitcast<vec4<u32>>(learned_place1), vec4<u32>(NOWHERE), none);
    workgroupBarrier();
    for (var t = 0u; t < 4u; t += 4u) {
    {
      let place = places[t + 0u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 0u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 1u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 1u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 2u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 2u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 3u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 3u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    }
    end_run(sums_at);
    workgroupBarrier();
  }
  {
    let hi = min(i32(end) - 1, i32(query2) + high); let lo = i32(query2) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
    let learned_share0 = score_mod_share0(s2_0, score_mod_x0_q2, score_mod_x1_q2, score_mod_x2_q2, score_mod_x3_q2, score_mod_x4_q2, score_mod_x5_q2, score_mod_x0_k0);
    let learned_place0 = score_mod_place0(score_mod_x0_q2, score_mod_x1_q2, score_mod_x2_q2, score_mod_x3_q2, score_mod_x4_q2, score_mod_x5_q2, score_mod_x0_k0);
    let learned_share1 = score_mod_share1(score_mod_x0_q2, score_mod_x1_q2, score_mod_x2_q2, score_mod_x3_q2, score_mod_x4_q2, score_mod_x5_q2, score_mod_x0_k0);
    let learned_place1 = score_mod_place1(score_mod_x0_q2, score_mod_x1_q2, score_mod_x2_q2, score_mod_x3_q2, score_mod_x4_q2, score_mod_x5_q2, score_mod_x0_k0);
    let slope_score_mod = score_mod_slope(s2_0, score_mod_x0_q2, score_mod_x1_q2, score_mod_x2_q2, score_mod_x3_q2, score_mod_x4_q2, score_mod_x5_q2, score_mod_x0_k0);
    s2_0 = score_mod_value(s2_0, score_mod_x0_q2, score_mod_x1_q2, score_mod_x2_q2, score_mod_x3_q2, score_mod_x4_q2, score_mod_x5_q2, score_mod_x0_k0);
    var log2p = fma(s2_0 - vec4<f32>(lse2), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum2));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s2_0) & vec4<bool>(is_top(vec4<f32>(lse2)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (dp2_0 - vec4<f32>(delta2));
    let none = outside | vec4<bool>(row2 >= row_count) | (ds == vec4<f32>(0.0));
    shares[li] = ds * learned_share0;
    places[li] = select(bitcast<vec4<u32>>(learned_place0), vec4<u32>(NOWHERE), none);
    workgroupBarrier();
    for (var t = 0u; t < 4u; t += 4u) {
    {
      let place = places[t + 0u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 0u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 1u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 1u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 2u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 2u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 3u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 3u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    }
    end_run(sums_at);
    workgroupBarrier();
    shares[li] = ds * learned_share1;
    places[li] = select(bitcast<vec4<u32>>(learned_place1), vec4<u32>(NOWHERE), none);
    workgroupBarrier();
    for (var t = 0u; t < 4u; t += 4u) {
    {
      let place = places[t + 0u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 0u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 1u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 1u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 2u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 2u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 3u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 3u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    }
    end_run(sums_at);
    workgroupBarrier();
  }
  {
    let hi = min(i32(end) - 1, i32(query3) + high); let lo = i32(query3) + low;
    let outside = (vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo));
    let learned_share0 = score_mod_share0(s3_0, score_mod_x0_q3, score_mod_x1_q3, score_mod_x2_q3, score_mod_x3_q3, score_mod_x4_q3, score_mod_x5_q3, score_mod_x0_k0);
    let learned_place0 = score_mod_place0(score_mod_x0_q3, score_mod_x1_q3, score_mod_x2_q3, score_mod_x3_q3, score_mod_x4_q3, score_mod_x5_q3, score_mod_x0_k0);
    let learned_share1 = score_mod_share1(score_mod_x0_q3, score_mod_x1_q3, score_mod_x2_q3, score_mod_x3_q3, score_mod_x4_q3, score_mod_x5_q3, score_mod_x0_k0);
    let learned_place1 = score_mod_place1(score_mod_x0_q3, score_mod_x1_q3, score_mod_x2_q3, score_mod_x3_q3, score_mod_x4_q3, score_mod_x5_q3, score_mod_x0_k0);
    let slope_score_mod = score_mod_slope(s3_0, score_mod_x0_q3, score_mod_x1_q3, score_mod_x2_q3, score_mod_x3_q3, score_mod_x4_q3, score_mod_x5_q3, score_mod_x0_k0);
    s3_0 = score_mod_value(s3_0, score_mod_x0_q3, score_mod_x1_q3, score_mod_x2_q3, score_mod_x3_q3, score_mod_x4_q3, score_mod_x5_q3, score_mod_x0_k0);
    var log2p = fma(s3_0 - vec4<f32>(lse3), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum3));
    // one infinite score: the limit of one that grows without end
    let limit_pair = is_top(s3_0) & vec4<bool>(is_top(vec4<f32>(lse3)).x);
    let p = select(exp2(log2p), vec4<f32>(1.0), limit_pair); log2p = select(log2p, vec4<f32>(0.0), limit_pair);
    let ds = p * (dp3_0 - vec4<f32>(delta3));
    let none = outside | vec4<bool>(row3 >= row_count) | (ds == vec4<f32>(0.0));
    shares[li] = ds * learned_share0;
    places[li] = select(bitcast<vec4<u32>>(learned_place0), vec4<u32>(NOWHERE), none);
    workgroupBarrier();
    for (var t = 0u; t < 4u; t += 4u) {
    {
      let place = places[t + 0u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 0u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 1u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 1u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 2u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 2u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 3u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 3u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    }
    end_run(sums_at);
    workgroupBarrier();
    shares[li] = ds * learned_share1;
    places[li] = select(bitcast<vec4<u32>>(learned_place1), vec4<u32>(NOWHERE), none);
    workgroupBarrier();
    for (var t = 0u; t < 4u; t += 4u) {
    {
      let place = places[t + 0u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 0u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 1u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 1u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 2u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 2u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    {
      let place = places[t + 3u]; let mine = ((place % vec4<u32>(4u)) == vec4<u32>(li)) & (place != vec4<u32>(NOWHERE));
      if (any(mine)) {
        let x = shares[t + 3u];
        if (mine.x) { add_to(sums_at, place.x, x.x); }
        if (mine.y) { add_to(sums_at, place.y, x.y); }
        if (mine.z) { add_to(sums_at, place.z, x.z); }
        if (mine.w) { add_to(sums_at, place.w, x.w); }
      }
    }
    }
    end_run(sums_at);
    workgroupBarrier();
  }
  }
}
