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
@group(0) @binding(18) var<storage, read_write> dk: array<vec4<f32>>;
fn store_dk(at: u32, c: u32, x: vec4<f32>) {
  if (4u * c < U.head_dim) { dk[(at >> 2u) + c] = x; }
}
@group(0) @binding(19) var<storage, read_write> dv: array<vec4<f32>>;
fn store_dv(at: u32, c: u32, x: vec4<f32>) {
  if (4u * c < U.value_dim) { dv[(at >> 2u) + c] = x; }
}
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
fn dout_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dout_at + b * U.dout_batch + h * U.dout_head + i * U.dout_row;
}
fn v_row(b: u32, h: u32, i: u32) -> u32 {
  return U.v_at + b * U.v_batch + h * U.v_head + i * U.v_row;
}
fn dk_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dk_at + b * U.dk_batch + h * U.dk_head + i * U.dk_row;
}
fn dv_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dv_at + b * U.dv_batch + h * U.dv_head + i * U.dv_row;
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
  let key0 = first + ty * 4u + 0u;
  let key1 = first + ty * 4u + 1u;
  let key2 = first + ty * 4u + 2u;
  let key3 = first + ty * 4u + 3u;
  var dk0_0 = vec4<f32>(0.0);
  var dk1_0 = vec4<f32>(0.0);
  var dk2_0 = vec4<f32>(0.0);
  var dk3_0 = vec4<f32>(0.0);
  var dv0_0 = vec4<f32>(0.0);
  var dv1_0 = vec4<f32>(0.0);
  var dv2_0 = vec4<f32>(0.0);
  var dv3_0 = vec4<f32>(0.0);
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  var dp0_0 = vec4<f32>(0.0);
  var dp1_0 = vec4<f32>(0.0);
  var dp2_0 = vec4<f32>(0.0);
  var dp3_0 = vec4<f32>(0.0);
  let last_key = min(first + 8u, limit) - 1u;
  let staged_scale = U.scale;
  // last rows first: below a diagonal they have the smallest P, and sums that begin small round less
  for (var left = (end - begin + 7u) / 8u; left > 0u; left--) {
  let r0 = begin + (left - 1u) * 8u;
  let row_0 = vec4<u32>(r0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let query_0 = (row_0 / vec4<u32>(U.group));
  var lse_0 = vec4<f32>(3.4028234e38); var low_sum_0 = vec4<f32>(0.0); var delta_0 = vec4<f32>(0.0);
  if (row_0[0] < end) { let x = stats[stats_base + row_0[0]]; lse_0[0] = x.x; low_sum_0[0] = x.z; delta_0[0] = x.y; }
  if (row_0[1] < end) { let x = stats[stats_base + row_0[1]]; lse_0[1] = x.x; low_sum_0[1] = x.z; delta_0[1] = x.y; }
  if (row_0[2] < end) { let x = stats[stats_base + row_0[2]]; lse_0[2] = x.x; low_sum_0[2] = x.z; delta_0[2] = x.y; }
  if (row_0[3] < end) { let x = stats[stats_base + row_0[3]]; lse_0[3] = x.x; low_sum_0[3] = x.z; delta_0[3] = x.y; }
  // dP^T = V dOut^T
  dp0_0 = vec4<f32>(0.0);
  dp1_0 = vec4<f32>(0.0);
  dp2_0 = vec4<f32>(0.0);
  dp3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(limit, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = load_v(v_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = load_v(v_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = load_v(v_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = load_v(v_row(batch, kv_head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < limit, from0_1 < limit, from0_2 < limit, from0_3 < limit);
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
    let from0_0 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column);
    let from0_1 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column);
    let from0_2 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column);
    let from0_3 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_dout(dout_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column);
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
  // S^T = K Q^T
  s0_0 = vec4<f32>(0.0);
  s1_0 = vec4<f32>(0.0);
  s2_0 = vec4<f32>(0.0);
  s3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(limit, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = load_k(k_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = load_k(k_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = load_k(k_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = load_k(k_row(batch, kv_head, min(from0_3, last_row)), from_column);
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < limit, from0_1 < limit, from0_2 < limit, from0_3 < limit);
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
    let from0_0 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_q(q_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column) * staged_scale;
    let from0_1 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_q(q_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column) * staged_scale;
    let from0_2 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_q(q_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column) * staged_scale;
    let from0_3 = r0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_q(q_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column) * staged_scale;
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
    let log2p = fma(s0_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s0_0 = p;
    dp0_0 = p * (dp0_0 - delta_0);
  }
  {
    let log2p = fma(s1_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s1_0 = p;
    dp1_0 = p * (dp1_0 - delta_0);
  }
  {
    let log2p = fma(s2_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s2_0 = p;
    dp2_0 = p * (dp2_0 - delta_0);
  }
  {
    let log2p = fma(s3_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s3_0 = p;
    dp3_0 = p * (dp3_0 - delta_0);
  }
  // hide pairs outside the band
  let first_query = i32((r0 / U.group));
  let last_query = i32(((min(r0 + 8u, end) - 1u) / U.group));
  if (i32(last_key) > first_query + high || i32(first) < last_query + low) {
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key0) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key0) - high));
      s0_0 = select(s0_0, vec4<f32>(0.0), hide);
      dp0_0 = select(dp0_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key1) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key1) - high));
      s1_0 = select(s1_0, vec4<f32>(0.0), hide);
      dp1_0 = select(dp1_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key2) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key2) - high));
      s2_0 = select(s2_0, vec4<f32>(0.0), hide);
      dp2_0 = select(dp2_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key3) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key3) - high));
      s3_0 = select(s3_0, vec4<f32>(0.0), hide);
      dp3_0 = select(dp3_0, vec4<f32>(0.0), hide); }
  }
  // dK += dS^T Q
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.x, dp1_0.x, dp2_0.x, dp3_0.x);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.y, dp1_0.y, dp2_0.y, dp3_0.y);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = r0 + 0u + stage_row; let x0 = load_q(q_row(batch, (kv_head * U.group + min(from0, last_row) % U.group), (min(from0, last_row) / U.group)), from_column) * staged_scale;
    let from1 = r0 + 2u + stage_row; let x1 = load_q(q_row(batch, (kv_head * U.group + min(from1, last_row) % U.group), (min(from1, last_row) / U.group)), from_column) * staged_scale;
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      dk0_0 = fma(vec4<f32>(a0.x), b0, dk0_0);
      dk1_0 = fma(vec4<f32>(a0.y), b0, dk1_0);
      dk2_0 = fma(vec4<f32>(a0.z), b0, dk2_0);
      dk3_0 = fma(vec4<f32>(a0.w), b0, dk3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      dk0_0 = fma(vec4<f32>(a0.x), b0, dk0_0);
      dk1_0 = fma(vec4<f32>(a0.y), b0, dk1_0);
      dk2_0 = fma(vec4<f32>(a0.z), b0, dk2_0);
      dk3_0 = fma(vec4<f32>(a0.w), b0, dk3_0);
    }
  }
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.z, dp1_0.z, dp2_0.z, dp3_0.z);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(dp0_0.w, dp1_0.w, dp2_0.w, dp3_0.w);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = r0 + 4u + stage_row; let x0 = load_q(q_row(batch, (kv_head * U.group + min(from0, last_row) % U.group), (min(from0, last_row) / U.group)), from_column) * staged_scale;
    let from1 = r0 + 6u + stage_row; let x1 = load_q(q_row(batch, (kv_head * U.group + min(from1, last_row) % U.group), (min(from1, last_row) / U.group)), from_column) * staged_scale;
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      dk0_0 = fma(vec4<f32>(a0.x), b0, dk0_0);
      dk1_0 = fma(vec4<f32>(a0.y), b0, dk1_0);
      dk2_0 = fma(vec4<f32>(a0.z), b0, dk2_0);
      dk3_0 = fma(vec4<f32>(a0.w), b0, dk3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      dk0_0 = fma(vec4<f32>(a0.x), b0, dk0_0);
      dk1_0 = fma(vec4<f32>(a0.y), b0, dk1_0);
      dk2_0 = fma(vec4<f32>(a0.z), b0, dk2_0);
      dk3_0 = fma(vec4<f32>(a0.w), b0, dk3_0);
    }
  }
  // dV += P^T dOut
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(s0_0.x, s1_0.x, s2_0.x, s3_0.x);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(s0_0.y, s1_0.y, s2_0.y, s3_0.y);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = r0 + 0u + stage_row; let x0 = load_dout(dout_row(batch, (kv_head * U.group + min(from0, last_row) % U.group), (min(from0, last_row) / U.group)), from_column);
    let from1 = r0 + 2u + stage_row; let x1 = load_dout(dout_row(batch, (kv_head * U.group + min(from1, last_row) % U.group), (min(from1, last_row) / U.group)), from_column);
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      dv0_0 = fma(vec4<f32>(a0.x), b0, dv0_0);
      dv1_0 = fma(vec4<f32>(a0.y), b0, dv1_0);
      dv2_0 = fma(vec4<f32>(a0.z), b0, dv2_0);
      dv3_0 = fma(vec4<f32>(a0.w), b0, dv3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      dv0_0 = fma(vec4<f32>(a0.x), b0, dv0_0);
      dv1_0 = fma(vec4<f32>(a0.y), b0, dv1_0);
      dv2_0 = fma(vec4<f32>(a0.z), b0, dv2_0);
      dv3_0 = fma(vec4<f32>(a0.w), b0, dv3_0);
    }
  }
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(s0_0.z, s1_0.z, s2_0.z, s3_0.z);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(s0_0.w, s1_0.w, s2_0.w, s3_0.w);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = r0 + 4u + stage_row; let x0 = load_dout(dout_row(batch, (kv_head * U.group + min(from0, last_row) % U.group), (min(from0, last_row) / U.group)), from_column);
    let from1 = r0 + 6u + stage_row; let x1 = load_dout(dout_row(batch, (kv_head * U.group + min(from1, last_row) % U.group), (min(from1, last_row) / U.group)), from_column);
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      dv0_0 = fma(vec4<f32>(a0.x), b0, dv0_0);
      dv1_0 = fma(vec4<f32>(a0.y), b0, dv1_0);
      dv2_0 = fma(vec4<f32>(a0.z), b0, dv2_0);
      dv3_0 = fma(vec4<f32>(a0.w), b0, dv3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      dv0_0 = fma(vec4<f32>(a0.x), b0, dv0_0);
      dv1_0 = fma(vec4<f32>(a0.y), b0, dv1_0);
      dv2_0 = fma(vec4<f32>(a0.z), b0, dv2_0);
      dv3_0 = fma(vec4<f32>(a0.w), b0, dv3_0);
    }
  }
  }
  // dk = dK, dv = dV
  if (key0 < U.length_k) {
    let real = key0 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key0);
    let at_dv = dv_row(batch, kv_head, key0);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk0_0, real));
    store_dv(at_dv, block + tx + 0u, select(vec4<f32>(0.0), dv0_0, real));
  }
  if (key1 < U.length_k) {
    let real = key1 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key1);
    let at_dv = dv_row(batch, kv_head, key1);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk1_0, real));
    store_dv(at_dv, block + tx + 0u, select(vec4<f32>(0.0), dv1_0, real));
  }
  if (key2 < U.length_k) {
    let real = key2 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key2);
    let at_dv = dv_row(batch, kv_head, key2);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk2_0, real));
    store_dv(at_dv, block + tx + 0u, select(vec4<f32>(0.0), dv2_0, real));
  }
  if (key3 < U.length_k) {
    let real = key3 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key3);
    let at_dv = dv_row(batch, kv_head, key3);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk3_0, real));
    store_dv(at_dv, block + tx + 0u, select(vec4<f32>(0.0), dv3_0, real));
  }
}
