// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
fn load_k(at: u32, c: u32) -> vec4<f32> { return k[(at >> 2u) + c]; }
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
fn load_v(at: u32, c: u32) -> vec4<f32> { return v[(at >> 2u) + c]; }
@group(0) @binding(7) var<storage, read> dout: array<vec4<f32>>;
fn load_dout(at: u32, c: u32) -> vec4<f32> { return dout[(at >> 2u) + c]; }
@group(0) @binding(31) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(17) var<storage, read_write> dq: array<vec4<f32>>;
fn store_dq(at: u32, c: u32, x: vec4<f32>) {
  if (4u * c < U.head_dim) { dq[(at >> 2u) + c] = x; }
}
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
fn dq_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dq_at + b * U.dq_batch + h * U.dq_head + i * U.dq_row;
}
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 2>;
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
  let block = wid.z * 2u;
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
  let row0 = first + ty * 4u + 0u; let query0 = (row0 / U.group);
  let head0 = (kv_head * U.group + row0 % U.group);
  var lse0 = 3.4028234e38; var delta0 = 0.0; var low_sum0 = 0.0;
  if (row0 < row_count) { let x = stats[stats_base + row0]; lse0 = x.x; delta0 = x.y; low_sum0 = x.z; }
  var gain0 = 0.0; if (row0 < row_count) { gain0 = stats[U.split_rows + stats_base + row0].x; }
  let row1 = first + ty * 4u + 1u; let query1 = (row1 / U.group);
  let head1 = (kv_head * U.group + row1 % U.group);
  var lse1 = 3.4028234e38; var delta1 = 0.0; var low_sum1 = 0.0;
  if (row1 < row_count) { let x = stats[stats_base + row1]; lse1 = x.x; delta1 = x.y; low_sum1 = x.z; }
  var gain1 = 0.0; if (row1 < row_count) { gain1 = stats[U.split_rows + stats_base + row1].x; }
  let row2 = first + ty * 4u + 2u; let query2 = (row2 / U.group);
  let head2 = (kv_head * U.group + row2 % U.group);
  var lse2 = 3.4028234e38; var delta2 = 0.0; var low_sum2 = 0.0;
  if (row2 < row_count) { let x = stats[stats_base + row2]; lse2 = x.x; delta2 = x.y; low_sum2 = x.z; }
  var gain2 = 0.0; if (row2 < row_count) { gain2 = stats[U.split_rows + stats_base + row2].x; }
  let row3 = first + ty * 4u + 3u; let query3 = (row3 / U.group);
  let head3 = (kv_head * U.group + row3 % U.group);
  var lse3 = 3.4028234e38; var delta3 = 0.0; var low_sum3 = 0.0;
  if (row3 < row_count) { let x = stats[stats_base + row3]; lse3 = x.x; delta3 = x.y; low_sum3 = x.z; }
  var gain3 = 0.0; if (row3 < row_count) { gain3 = stats[U.split_rows + stats_base + row3].x; }
  var dq0_0 = vec4<f32>(0.0);
  var dq1_0 = vec4<f32>(0.0);
  var dq2_0 = vec4<f32>(0.0);
  var dq3_0 = vec4<f32>(0.0);
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  var dp0_0 = vec4<f32>(0.0);
  var dp1_0 = vec4<f32>(0.0);
  var dp2_0 = vec4<f32>(0.0);
  var dp3_0 = vec4<f32>(0.0);
  let last = min(first + 8u, row_count) - 1u;
  let first_query = i32((first / U.group)); let last_query = i32((last / U.group));
  let staged_scale = U.scale;
  for (var k0 = begin; k0 < end; k0 += 8u) {
  let key_0 = vec4<u32>(k0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
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
  // P = exp(features(S) - lse), dS = P (dP - delta) slope
  {
    let log2p = fma(s0_0 - vec4<f32>(lse0), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum0));
    let p = exp2(log2p);
    let ds = p * (dp0_0 - vec4<f32>(delta0) - vec4<f32>(gain0) * max(log2p, vec4<f32>(-200.0)));
    dp0_0 = ds;
  }
  {
    let log2p = fma(s1_0 - vec4<f32>(lse1), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum1));
    let p = exp2(log2p);
    let ds = p * (dp1_0 - vec4<f32>(delta1) - vec4<f32>(gain1) * max(log2p, vec4<f32>(-200.0)));
    dp1_0 = ds;
  }
  {
    let log2p = fma(s2_0 - vec4<f32>(lse2), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum2));
    let p = exp2(log2p);
    let ds = p * (dp2_0 - vec4<f32>(delta2) - vec4<f32>(gain2) * max(log2p, vec4<f32>(-200.0)));
    dp2_0 = ds;
  }
  {
    let log2p = fma(s3_0 - vec4<f32>(lse3), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum3));
    let p = exp2(log2p);
    let ds = p * (dp3_0 - vec4<f32>(delta3) - vec4<f32>(gain3) * max(log2p, vec4<f32>(-200.0)));
    dp3_0 = ds;
  }
  // hide pairs outside the band
  if (k0 + 8u > end || i32(k0) + 7 > first_query + high || i32(k0) < last_query + low) {
    let hi0 = min(i32(end) - 1, i32(query0) + high); let lo0 = i32(query0) + low;
    dp0_0 = select(dp0_0, vec4<f32>(0.0), (vec4<i32>(key_0) > vec4<i32>(hi0)) | (vec4<i32>(key_0) < vec4<i32>(lo0)));
    let hi1 = min(i32(end) - 1, i32(query1) + high); let lo1 = i32(query1) + low;
    dp1_0 = select(dp1_0, vec4<f32>(0.0), (vec4<i32>(key_0) > vec4<i32>(hi1)) | (vec4<i32>(key_0) < vec4<i32>(lo1)));
    let hi2 = min(i32(end) - 1, i32(query2) + high); let lo2 = i32(query2) + low;
    dp2_0 = select(dp2_0, vec4<f32>(0.0), (vec4<i32>(key_0) > vec4<i32>(hi2)) | (vec4<i32>(key_0) < vec4<i32>(lo2)));
    let hi3 = min(i32(end) - 1, i32(query3) + high); let lo3 = i32(query3) + low;
    dp3_0 = select(dp3_0, vec4<f32>(0.0), (vec4<i32>(key_0) > vec4<i32>(hi3)) | (vec4<i32>(key_0) < vec4<i32>(lo3)));
  }
  // dQ += dS K
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.x, dp1_0.x, dp2_0.x, dp3_0.x);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.y, dp1_0.y, dp2_0.y, dp3_0.y);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = k0 + 0u + stage_row; let x0 = load_k(k_row(batch, kv_head, min(from0, last_row)), from_column);
    let from1 = k0 + 2u + stage_row; let x1 = load_k(k_row(batch, kv_head, min(from1, last_row)), from_column);
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      dq0_0 = fma(vec4<f32>(a0.x), b0, dq0_0);
      dq1_0 = fma(vec4<f32>(a0.y), b0, dq1_0);
      dq2_0 = fma(vec4<f32>(a0.z), b0, dq2_0);
      dq3_0 = fma(vec4<f32>(a0.w), b0, dq3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      dq0_0 = fma(vec4<f32>(a0.x), b0, dq0_0);
      dq1_0 = fma(vec4<f32>(a0.y), b0, dq1_0);
      dq2_0 = fma(vec4<f32>(a0.z), b0, dq2_0);
      dq3_0 = fma(vec4<f32>(a0.w), b0, dq3_0);
    }
  }
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.z, dp1_0.z, dp2_0.z, dp3_0.z);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.w, dp1_0.w, dp2_0.w, dp3_0.w);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = k0 + 4u + stage_row; let x0 = load_k(k_row(batch, kv_head, min(from0, last_row)), from_column);
    let from1 = k0 + 6u + stage_row; let x1 = load_k(k_row(batch, kv_head, min(from1, last_row)), from_column);
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      dq0_0 = fma(vec4<f32>(a0.x), b0, dq0_0);
      dq1_0 = fma(vec4<f32>(a0.y), b0, dq1_0);
      dq2_0 = fma(vec4<f32>(a0.z), b0, dq2_0);
      dq3_0 = fma(vec4<f32>(a0.w), b0, dq3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      dq0_0 = fma(vec4<f32>(a0.x), b0, dq0_0);
      dq1_0 = fma(vec4<f32>(a0.y), b0, dq1_0);
      dq2_0 = fma(vec4<f32>(a0.z), b0, dq2_0);
      dq3_0 = fma(vec4<f32>(a0.w), b0, dq3_0);
    }
  }
  }
  // dq = scale dQ
  if (row0 < row_count) {
    let at = dq_row(batch, head0, query0);
    store_dq(at, block + tx + 0u, dq0_0 * U.scale);
  }
  if (row1 < row_count) {
    let at = dq_row(batch, head1, query1);
    store_dq(at, block + tx + 0u, dq1_0 * U.scale);
  }
  if (row2 < row_count) {
    let at = dq_row(batch, head2, query2);
    store_dq(at, block + tx + 0u, dq2_0 * U.scale);
  }
  if (row3 < row_count) {
    let at = dq_row(batch, head3, query3);
    store_dq(at, block + tx + 0u, dq3_0 * U.scale);
  }
}
