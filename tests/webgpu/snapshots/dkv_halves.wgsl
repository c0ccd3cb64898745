enable f16;
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
var<workgroup> rt: array<array<array<vec4<f16>, 9>, 2>, 16>;
var<workgroup> ct: array<array<array<vec4<f16>, 9>, 2>, 16>;
fn to_halves(x: vec4<f32>) -> vec4<f16> {
  let size = abs(x); let largest = max(max(size.x, size.y), max(size.z, size.w));
  return vec4<f16>(vec4<f32>(select(x.x, bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u), largest > 65504.0), x.yzw));
}
fn inverse_power(x: f32) -> f32 { return bitcast<f32>(0x7f000000u - bitcast<u32>(x)); }
var<workgroup> dout_powers: array<f32, 32>;
fn power_to(top: f32, lift: u32) -> f32 {
  return bitcast<f32>((254u + lift - clamp(bitcast<u32>(top) >> 23u, lift + 1u, 253u)) << 23u);
}
fn size4(x: vec4<f32>) -> f32 {
  let size = abs(x); return max(max(size.x, size.y), max(size.z, size.w));
}
var<workgroup> row_tops: array<array<array<f32, 5>, 4>, 8>;
var<workgroup> row_powers: array<f32, 32>;
@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 4u; let ty = li / 4u;
  let stage_row = li / 8u; let stage_column = li % 8u;
  let stage_slot = li % 4u + 4u * (li / 32u); let stage_step = (li / 4u) % 8u;
  let item = (U.item_base + wid.x) * 8u;
  let batch = schedule[item]; let first = schedule[item + 1u];
  let begin = schedule[item + 2u]; let end = schedule[item + 3u];
  let low = bitcast<i32>(schedule[item + 4u]); let high = bitcast<i32>(schedule[item + 5u]);
  let limit = schedule[item + 6u]; let slot = schedule[item + 7u];
  let offset = bitcast<i32>(schedule[4u * batch + 3u]);
  let kv_head = wid.y; let row_count = U.length_q * U.group;
  let block = wid.z * 8u;
  let stats_base = (batch * U.kv_heads + kv_head) * row_count;
  let key0 = first + ty * 4u + 0u;
  let key1 = first + ty * 4u + 1u;
  let key2 = first + ty * 4u + 2u;
  let key3 = first + ty * 4u + 3u;
  var dk0_0 = vec4<f32>(0.0);
  var dk0_1 = vec4<f32>(0.0);
  var dk1_0 = vec4<f32>(0.0);
  var dk1_1 = vec4<f32>(0.0);
  var dk2_0 = vec4<f32>(0.0);
  var dk2_1 = vec4<f32>(0.0);
  var dk3_0 = vec4<f32>(0.0);
  var dk3_1 = vec4<f32>(0.0);
  var dv0_0 = vec4<f32>(0.0);
  var dv0_1 = vec4<f32>(0.0);
  var dv1_0 = vec4<f32>(0.0);
  var dv1_1 = vec4<f32>(0.0);
  var dv2_0 = vec4<f32>(0.0);
  var dv2_1 = vec4<f32>(0.0);
  var dv3_0 = vec4<f32>(0.0);
  var dv3_1 = vec4<f32>(0.0);
  var s0_0 = vec4<f32>(0.0);
  var s0_1 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s1_1 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s2_1 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  var s3_1 = vec4<f32>(0.0);
  var dp0_0 = vec4<f32>(0.0);
  var dp0_1 = vec4<f32>(0.0);
  var dp1_0 = vec4<f32>(0.0);
  var dp1_1 = vec4<f32>(0.0);
  var dp2_0 = vec4<f32>(0.0);
  var dp2_1 = vec4<f32>(0.0);
  var dp3_0 = vec4<f32>(0.0);
  var dp3_1 = vec4<f32>(0.0);
  let last_key = min(first + 32u, limit) - 1u;
  let staged_scale = U.scale;
  // last rows first: below a diagonal they have the smallest P, and sums that begin small round less
  for (var left = (end - begin + 31u) / 32u; left > 0u; left--) {
  let r0 = begin + (left - 1u) * 32u;
  let row_0 = vec4<u32>(r0 + tx) + vec4<u32>(0u, 4u, 8u, 12u);
  let query_0 = (row_0 / vec4<u32>(U.group));
  var lse_0 = vec4<f32>(3.4028234e38); var low_sum_0 = vec4<f32>(0.0); var delta_0 = vec4<f32>(0.0);
  if (row_0[0] < end) { let x = stats[stats_base + row_0[0]]; lse_0[0] = x.x; low_sum_0[0] = x.z; delta_0[0] = x.y; }
  if (row_0[1] < end) { let x = stats[stats_base + row_0[1]]; lse_0[1] = x.x; low_sum_0[1] = x.z; delta_0[1] = x.y; }
  if (row_0[2] < end) { let x = stats[stats_base + row_0[2]]; lse_0[2] = x.x; low_sum_0[2] = x.z; delta_0[2] = x.y; }
  if (row_0[3] < end) { let x = stats[stats_base + row_0[3]]; lse_0[3] = x.x; low_sum_0[3] = x.z; delta_0[3] = x.y; }
  let row_1 = vec4<u32>(r0 + tx) + vec4<u32>(16u, 20u, 24u, 28u);
  let query_1 = (row_1 / vec4<u32>(U.group));
  var lse_1 = vec4<f32>(3.4028234e38); var low_sum_1 = vec4<f32>(0.0); var delta_1 = vec4<f32>(0.0);
  if (row_1[0] < end) { let x = stats[stats_base + row_1[0]]; lse_1[0] = x.x; low_sum_1[0] = x.z; delta_1[0] = x.y; }
  if (row_1[1] < end) { let x = stats[stats_base + row_1[1]]; lse_1[1] = x.x; low_sum_1[1] = x.z; delta_1[1] = x.y; }
  if (row_1[2] < end) { let x = stats[stats_base + row_1[2]]; lse_1[2] = x.x; low_sum_1[2] = x.z; delta_1[2] = x.y; }
  if (row_1[3] < end) { let x = stats[stats_base + row_1[3]]; lse_1[3] = x.x; low_sum_1[3] = x.z; delta_1[3] = x.y; }
  for (var t = li; t < 32u; t += 32u) {
    var power = 1.0; if (r0 + t < end) { power = stats[U.split_rows + stats_base + r0 + t].z; }
    dout_powers[t] = power;
  }
  // dP^T = V dOut^T
  dp0_0 = vec4<f32>(0.0);
  dp0_1 = vec4<f32>(0.0);
  dp1_0 = vec4<f32>(0.0);
  dp1_1 = vec4<f32>(0.0);
  dp2_0 = vec4<f32>(0.0);
  dp2_1 = vec4<f32>(0.0);
  dp3_0 = vec4<f32>(0.0);
  dp3_1 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 8u; c0 += 8u) {
  workgroupBarrier();
  {
    let last_row = max(limit, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from0_0, last_row)), from_column), inside & (from0_0 < limit)));
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from0_1, last_row)), from_column), inside & (from0_1 < limit)));
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from0_2, last_row)), from_column), inside & (from0_2 < limit)));
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from0_3, last_row)), from_column), inside & (from0_3 < limit)));
    let from1_0 = first + 4u * (stage_slot + 4u) + 0u; let x1_0 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from1_0, last_row)), from_column), inside & (from1_0 < limit)));
    let from1_1 = first + 4u * (stage_slot + 4u) + 1u; let x1_1 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from1_1, last_row)), from_column), inside & (from1_1 < limit)));
    let from1_2 = first + 4u * (stage_slot + 4u) + 2u; let x1_2 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from1_2, last_row)), from_column), inside & (from1_2 < limit)));
    let from1_3 = first + 4u * (stage_slot + 4u) + 3u; let x1_3 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from1_3, last_row)), from_column), inside & (from1_3 < limit)));
    rt[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = vec4<f16>(x0_0.x, x0_1.x, x0_2.x, x0_3.x);
    rt[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = vec4<f16>(x0_0.y, x0_1.y, x0_2.y, x0_3.y);
    rt[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = vec4<f16>(x0_0.z, x0_1.z, x0_2.z, x0_3.z);
    rt[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = vec4<f16>(x0_0.w, x0_1.w, x0_2.w, x0_3.w);
    rt[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.x, x1_1.x, x1_2.x, x1_3.x);
    rt[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.y, x1_1.y, x1_2.y, x1_3.y);
    rt[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.z, x1_1.z, x1_2.z, x1_3.z);
    rt[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.w, x1_1.w, x1_2.w, x1_3.w);
  }
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    let from0_0 = r0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 0u); let x0_0 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column) * dout_powers[stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 0u)], inside & (from0_0 < end)));
    let from0_1 = r0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 1u); let x0_1 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column) * dout_powers[stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 1u)], inside & (from0_1 < end)));
    let from0_2 = r0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 2u); let x0_2 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column) * dout_powers[stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 2u)], inside & (from0_2 < end)));
    let from0_3 = r0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 3u); let x0_3 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column) * dout_powers[stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 3u)], inside & (from0_3 < end)));
    let from1_0 = r0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 0u); let x1_0 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from1_0, last_row) % U.group), (min(from1_0, last_row) / U.group)), from_column) * dout_powers[(stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 0u)], inside & (from1_0 < end)));
    let from1_1 = r0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 1u); let x1_1 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from1_1, last_row) % U.group), (min(from1_1, last_row) / U.group)), from_column) * dout_powers[(stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 1u)], inside & (from1_1 < end)));
    let from1_2 = r0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 2u); let x1_2 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from1_2, last_row) % U.group), (min(from1_2, last_row) / U.group)), from_column) * dout_powers[(stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 2u)], inside & (from1_2 < end)));
    let from1_3 = r0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 3u); let x1_3 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from1_3, last_row) % U.group), (min(from1_3, last_row) / U.group)), from_column) * dout_powers[(stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 3u)], inside & (from1_3 < end)));
    ct[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = vec4<f16>(x0_0.x, x0_1.x, x0_2.x, x0_3.x);
    ct[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = vec4<f16>(x0_0.y, x0_1.y, x0_2.y, x0_3.y);
    ct[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = vec4<f16>(x0_0.z, x0_1.z, x0_2.z, x0_3.z);
    ct[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = vec4<f16>(x0_0.w, x0_1.w, x0_2.w, x0_3.w);
    ct[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.x, x1_1.x, x1_2.x, x1_3.x);
    ct[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.y, x1_1.y, x1_2.y, x1_3.y);
    ct[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.z, x1_1.z, x1_2.z, x1_3.z);
    ct[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.w, x1_1.w, x1_2.w, x1_3.w);
  }
  workgroupBarrier();
  {
    let runs_left = min((4u * (max(((U.value_dim + 3u) >> 2u), c0) - c0) + 15u) / 16u, 2u);
    var run0_0: vec4<f16>; var runs0_0 = vec4<f16>(0.0);
    var run0_1: vec4<f16>; var runs0_1 = vec4<f16>(0.0);
    var run1_0: vec4<f16>; var runs1_0 = vec4<f16>(0.0);
    var run1_1: vec4<f16>; var runs1_1 = vec4<f16>(0.0);
    var run2_0: vec4<f16>; var runs2_0 = vec4<f16>(0.0);
    var run2_1: vec4<f16>; var runs2_1 = vec4<f16>(0.0);
    var run3_0: vec4<f16>; var runs3_0 = vec4<f16>(0.0);
    var run3_1: vec4<f16>; var runs3_1 = vec4<f16>(0.0);
  for (var d_run = 0u; d_run < runs_left; d_run++) {
    run0_0 = vec4<f16>(0.0);
    run0_1 = vec4<f16>(0.0);
    run1_0 = vec4<f16>(0.0);
    run1_1 = vec4<f16>(0.0);
    run2_0 = vec4<f16>(0.0);
    run2_1 = vec4<f16>(0.0);
    run3_0 = vec4<f16>(0.0);
    run3_1 = vec4<f16>(0.0);
  for (var d = d_run * 8u; d < (d_run + 1u) * 8u; d++) {
    {
      let a0 = rt[d][0][ty * 1u + 0u];
      let b0 = ct[d][0][tx + 0u];
      let b1 = ct[d][0][tx + 4u];
      run0_0 = fma(vec4<f16>(a0.x), b0, run0_0);
      run0_1 = fma(vec4<f16>(a0.x), b1, run0_1);
      run1_0 = fma(vec4<f16>(a0.y), b0, run1_0);
      run1_1 = fma(vec4<f16>(a0.y), b1, run1_1);
      run2_0 = fma(vec4<f16>(a0.z), b0, run2_0);
      run2_1 = fma(vec4<f16>(a0.z), b1, run2_1);
      run3_0 = fma(vec4<f16>(a0.w), b0, run3_0);
      run3_1 = fma(vec4<f16>(a0.w), b1, run3_1);
    }
    {
      let a0 = rt[d][1][ty * 1u + 0u];
      let b0 = ct[d][1][tx + 0u];
      let b1 = ct[d][1][tx + 4u];
      run0_0 = fma(vec4<f16>(a0.x), b0, run0_0);
      run0_1 = fma(vec4<f16>(a0.x), b1, run0_1);
      run1_0 = fma(vec4<f16>(a0.y), b0, run1_0);
      run1_1 = fma(vec4<f16>(a0.y), b1, run1_1);
      run2_0 = fma(vec4<f16>(a0.z), b0, run2_0);
      run2_1 = fma(vec4<f16>(a0.z), b1, run2_1);
      run3_0 = fma(vec4<f16>(a0.w), b0, run3_0);
      run3_1 = fma(vec4<f16>(a0.w), b1, run3_1);
    }
  }
    runs0_0 += run0_0;
    runs0_1 += run0_1;
    runs1_0 += run1_0;
    runs1_1 += run1_1;
    runs2_0 += run2_0;
    runs2_1 += run2_1;
    runs3_0 += run3_0;
    runs3_1 += run3_1;
  }
    dp0_0 += vec4<f32>(runs0_0);
    dp0_1 += vec4<f32>(runs0_1);
    dp1_0 += vec4<f32>(runs1_0);
    dp1_1 += vec4<f32>(runs1_1);
    dp2_0 += vec4<f32>(runs2_0);
    dp2_1 += vec4<f32>(runs2_1);
    dp3_0 += vec4<f32>(runs3_0);
    dp3_1 += vec4<f32>(runs3_1);
  }
  }
  // S^T = K Q^T
  s0_0 = vec4<f32>(0.0);
  s0_1 = vec4<f32>(0.0);
  s1_0 = vec4<f32>(0.0);
  s1_1 = vec4<f32>(0.0);
  s2_0 = vec4<f32>(0.0);
  s2_1 = vec4<f32>(0.0);
  s3_0 = vec4<f32>(0.0);
  s3_1 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 8u; c0 += 8u) {
  workgroupBarrier();
  {
    let last_row = max(limit, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from0_0, last_row)), from_column), inside & (from0_0 < limit)));
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from0_1, last_row)), from_column), inside & (from0_1 < limit)));
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from0_2, last_row)), from_column), inside & (from0_2 < limit)));
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from0_3, last_row)), from_column), inside & (from0_3 < limit)));
    let from1_0 = first + 4u * (stage_slot + 4u) + 0u; let x1_0 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from1_0, last_row)), from_column), inside & (from1_0 < limit)));
    let from1_1 = first + 4u * (stage_slot + 4u) + 1u; let x1_1 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from1_1, last_row)), from_column), inside & (from1_1 < limit)));
    let from1_2 = first + 4u * (stage_slot + 4u) + 2u; let x1_2 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from1_2, last_row)), from_column), inside & (from1_2 < limit)));
    let from1_3 = first + 4u * (stage_slot + 4u) + 3u; let x1_3 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from1_3, last_row)), from_column), inside & (from1_3 < limit)));
    rt[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = vec4<f16>(x0_0.x, x0_1.x, x0_2.x, x0_3.x);
    rt[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = vec4<f16>(x0_0.y, x0_1.y, x0_2.y, x0_3.y);
    rt[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = vec4<f16>(x0_0.z, x0_1.z, x0_2.z, x0_3.z);
    rt[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = vec4<f16>(x0_0.w, x0_1.w, x0_2.w, x0_3.w);
    rt[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.x, x1_1.x, x1_2.x, x1_3.x);
    rt[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.y, x1_1.y, x1_2.y, x1_3.y);
    rt[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.z, x1_1.z, x1_2.z, x1_3.z);
    rt[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.w, x1_1.w, x1_2.w, x1_3.w);
  }
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    let from0_0 = r0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 0u); let x0_0 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column) * staged_scale, inside & (from0_0 < end)));
    let from0_1 = r0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 1u); let x0_1 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column) * staged_scale, inside & (from0_1 < end)));
    let from0_2 = r0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 2u); let x0_2 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column) * staged_scale, inside & (from0_2 < end)));
    let from0_3 = r0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 3u); let x0_3 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column) * staged_scale, inside & (from0_3 < end)));
    let from1_0 = r0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 0u); let x1_0 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from1_0, last_row) % U.group), (min(from1_0, last_row) / U.group)), from_column) * staged_scale, inside & (from1_0 < end)));
    let from1_1 = r0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 1u); let x1_1 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from1_1, last_row) % U.group), (min(from1_1, last_row) / U.group)), from_column) * staged_scale, inside & (from1_1 < end)));
    let from1_2 = r0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 2u); let x1_2 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from1_2, last_row) % U.group), (min(from1_2, last_row) / U.group)), from_column) * staged_scale, inside & (from1_2 < end)));
    let from1_3 = r0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 3u); let x1_3 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from1_3, last_row) % U.group), (min(from1_3, last_row) / U.group)), from_column) * staged_scale, inside & (from1_3 < end)));
    ct[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][stage_slot] = vec4<f16>(x0_0.x, x0_1.x, x0_2.x, x0_3.x);
    ct[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][stage_slot] = vec4<f16>(x0_0.y, x0_1.y, x0_2.y, x0_3.y);
    ct[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][stage_slot] = vec4<f16>(x0_0.z, x0_1.z, x0_2.z, x0_3.z);
    ct[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][stage_slot] = vec4<f16>(x0_0.w, x0_1.w, x0_2.w, x0_3.w);
    ct[(4u * stage_step + 0u) / 2u][(4u * stage_step + 0u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.x, x1_1.x, x1_2.x, x1_3.x);
    ct[(4u * stage_step + 1u) / 2u][(4u * stage_step + 1u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.y, x1_1.y, x1_2.y, x1_3.y);
    ct[(4u * stage_step + 2u) / 2u][(4u * stage_step + 2u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.z, x1_1.z, x1_2.z, x1_3.z);
    ct[(4u * stage_step + 3u) / 2u][(4u * stage_step + 3u) % 2u][(stage_slot + 4u)] = vec4<f16>(x1_0.w, x1_1.w, x1_2.w, x1_3.w);
  }
  workgroupBarrier();
  {
    let runs_left = min((4u * (max(((U.head_dim + 3u) >> 2u), c0) - c0) + 15u) / 16u, 2u);
    var run0_0: vec4<f16>; var runs0_0 = vec4<f16>(0.0);
    var run0_1: vec4<f16>; var runs0_1 = vec4<f16>(0.0);
    var run1_0: vec4<f16>; var runs1_0 = vec4<f16>(0.0);
    var run1_1: vec4<f16>; var runs1_1 = vec4<f16>(0.0);
    var run2_0: vec4<f16>; var runs2_0 = vec4<f16>(0.0);
    var run2_1: vec4<f16>; var runs2_1 = vec4<f16>(0.0);
    var run3_0: vec4<f16>; var runs3_0 = vec4<f16>(0.0);
    var run3_1: vec4<f16>; var runs3_1 = vec4<f16>(0.0);
  for (var d_run = 0u; d_run < runs_left; d_run++) {
    run0_0 = vec4<f16>(0.0);
    run0_1 = vec4<f16>(0.0);
    run1_0 = vec4<f16>(0.0);
    run1_1 = vec4<f16>(0.0);
    run2_0 = vec4<f16>(0.0);
    run2_1 = vec4<f16>(0.0);
    run3_0 = vec4<f16>(0.0);
    run3_1 = vec4<f16>(0.0);
  for (var d = d_run * 8u; d < (d_run + 1u) * 8u; d++) {
    {
      let a0 = rt[d][0][ty * 1u + 0u];
      let b0 = ct[d][0][tx + 0u];
      let b1 = ct[d][0][tx + 4u];
      run0_0 = fma(vec4<f16>(a0.x), b0, run0_0);
      run0_1 = fma(vec4<f16>(a0.x), b1, run0_1);
      run1_0 = fma(vec4<f16>(a0.y), b0, run1_0);
      run1_1 = fma(vec4<f16>(a0.y), b1, run1_1);
      run2_0 = fma(vec4<f16>(a0.z), b0, run2_0);
      run2_1 = fma(vec4<f16>(a0.z), b1, run2_1);
      run3_0 = fma(vec4<f16>(a0.w), b0, run3_0);
      run3_1 = fma(vec4<f16>(a0.w), b1, run3_1);
    }
    {
      let a0 = rt[d][1][ty * 1u + 0u];
      let b0 = ct[d][1][tx + 0u];
      let b1 = ct[d][1][tx + 4u];
      run0_0 = fma(vec4<f16>(a0.x), b0, run0_0);
      run0_1 = fma(vec4<f16>(a0.x), b1, run0_1);
      run1_0 = fma(vec4<f16>(a0.y), b0, run1_0);
      run1_1 = fma(vec4<f16>(a0.y), b1, run1_1);
      run2_0 = fma(vec4<f16>(a0.z), b0, run2_0);
      run2_1 = fma(vec4<f16>(a0.z), b1, run2_1);
      run3_0 = fma(vec4<f16>(a0.w), b0, run3_0);
      run3_1 = fma(vec4<f16>(a0.w), b1, run3_1);
    }
  }
    runs0_0 += run0_0;
    runs0_1 += run0_1;
    runs1_0 += run1_0;
    runs1_1 += run1_1;
    runs2_0 += run2_0;
    runs2_1 += run2_1;
    runs3_0 += run3_0;
    runs3_1 += run3_1;
  }
    s0_0 += vec4<f32>(runs0_0);
    s0_1 += vec4<f32>(runs0_1);
    s1_0 += vec4<f32>(runs1_0);
    s1_1 += vec4<f32>(runs1_1);
    s2_0 += vec4<f32>(runs2_0);
    s2_1 += vec4<f32>(runs2_1);
    s3_0 += vec4<f32>(runs3_0);
    s3_1 += vec4<f32>(runs3_1);
  }
  }
  let undo_0 = vec4<f32>(inverse_power(dout_powers[tx + 0u]), inverse_power(dout_powers[tx + 4u]), inverse_power(dout_powers[tx + 8u]), inverse_power(dout_powers[tx + 12u]));
  let undo_1 = vec4<f32>(inverse_power(dout_powers[tx + 16u]), inverse_power(dout_powers[tx + 20u]), inverse_power(dout_powers[tx + 24u]), inverse_power(dout_powers[tx + 28u]));
  dp0_0 *= undo_0;
  dp0_1 *= undo_1;
  dp1_0 *= undo_0;
  dp1_1 *= undo_1;
  dp2_0 *= undo_0;
  dp2_1 *= undo_1;
  dp3_0 *= undo_0;
  dp3_1 *= undo_1;
  // P = exp(features(S) - lse), dS = P (dP - delta) slope
  {
    let log2p = fma(s0_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s0_0 = p * undo_0;
    dp0_0 = p * (dp0_0 - delta_0);
  }
  {
    let log2p = fma(s0_1 - lse_1, vec4<f32>(1.4426950408889634), -low_sum_1);
    let p = exp2(log2p);
    s0_1 = p * undo_1;
    dp0_1 = p * (dp0_1 - delta_1);
  }
  {
    let log2p = fma(s1_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s1_0 = p * undo_0;
    dp1_0 = p * (dp1_0 - delta_0);
  }
  {
    let log2p = fma(s1_1 - lse_1, vec4<f32>(1.4426950408889634), -low_sum_1);
    let p = exp2(log2p);
    s1_1 = p * undo_1;
    dp1_1 = p * (dp1_1 - delta_1);
  }
  {
    let log2p = fma(s2_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s2_0 = p * undo_0;
    dp2_0 = p * (dp2_0 - delta_0);
  }
  {
    let log2p = fma(s2_1 - lse_1, vec4<f32>(1.4426950408889634), -low_sum_1);
    let p = exp2(log2p);
    s2_1 = p * undo_1;
    dp2_1 = p * (dp2_1 - delta_1);
  }
  {
    let log2p = fma(s3_0 - lse_0, vec4<f32>(1.4426950408889634), -low_sum_0);
    let p = exp2(log2p);
    s3_0 = p * undo_0;
    dp3_0 = p * (dp3_0 - delta_0);
  }
  {
    let log2p = fma(s3_1 - lse_1, vec4<f32>(1.4426950408889634), -low_sum_1);
    let p = exp2(log2p);
    s3_1 = p * undo_1;
    dp3_1 = p * (dp3_1 - delta_1);
  }
  // hide pairs outside the band
  let first_query = i32((r0 / U.group));
  let last_query = i32(((min(r0 + 32u, end) - 1u) / U.group));
  if (i32(last_key) > first_query + high || i32(first) < last_query + low) {
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key0) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key0) - high));
      s0_0 = select(s0_0, vec4<f32>(0.0), hide);
      dp0_0 = select(dp0_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_1) > vec4<i32>(i32(key0) - low)) | (vec4<i32>(query_1) < vec4<i32>(i32(key0) - high));
      s0_1 = select(s0_1, vec4<f32>(0.0), hide);
      dp0_1 = select(dp0_1, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key1) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key1) - high));
      s1_0 = select(s1_0, vec4<f32>(0.0), hide);
      dp1_0 = select(dp1_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_1) > vec4<i32>(i32(key1) - low)) | (vec4<i32>(query_1) < vec4<i32>(i32(key1) - high));
      s1_1 = select(s1_1, vec4<f32>(0.0), hide);
      dp1_1 = select(dp1_1, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key2) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key2) - high));
      s2_0 = select(s2_0, vec4<f32>(0.0), hide);
      dp2_0 = select(dp2_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_1) > vec4<i32>(i32(key2) - low)) | (vec4<i32>(query_1) < vec4<i32>(i32(key2) - high));
      s2_1 = select(s2_1, vec4<f32>(0.0), hide);
      dp2_1 = select(dp2_1, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_0) > vec4<i32>(i32(key3) - low)) | (vec4<i32>(query_0) < vec4<i32>(i32(key3) - high));
      s3_0 = select(s3_0, vec4<f32>(0.0), hide);
      dp3_0 = select(dp3_0, vec4<f32>(0.0), hide); }
    { let hide = (vec4<i32>(query_1) > vec4<i32>(i32(key3) - low)) | (vec4<i32>(query_1) < vec4<i32>(i32(key3) - high));
      s3_1 = select(s3_1, vec4<f32>(0.0), hide);
      dp3_1 = select(dp3_1, vec4<f32>(0.0), hide); }
  }
  // dK += dS^T Q
  {
  // the largest of each row
  row_tops[ty][0][tx] = max(size4(dp0_0), size4(dp0_1));
  row_tops[ty][1][tx] = max(size4(dp1_0), size4(dp1_1));
  row_tops[ty][2][tx] = max(size4(dp2_0), size4(dp2_1));
  row_tops[ty][3][tx] = max(size4(dp3_0), size4(dp3_1));
  workgroupBarrier();
  for (var t = li; t < 32u; t += 32u) {
    var top = 0.0;
    top = max(top, row_tops[t / 4u][t % 4u][0]);
    top = max(top, row_tops[t / 4u][t % 4u][1]);
    top = max(top, row_tops[t / 4u][t % 4u][2]);
    top = max(top, row_tops[t / 4u][t % 4u][3]);
    row_powers[t] = power_to(top, 3u);
  }
  workgroupBarrier();
  let lift0 = row_powers[ty * 4u + 0u]; let lower0 = inverse_power(lift0);
  let lift1 = row_powers[ty * 4u + 1u]; let lower1 = inverse_power(lift1);
  let lift2 = row_powers[ty * 4u + 2u]; let lower2 = inverse_power(lift2);
  let lift3 = row_powers[ty * 4u + 3u]; let lower3 = inverse_power(lift3);
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(dp0_0.x * lift0, dp1_0.x * lift1, dp2_0.x * lift2, dp3_0.x * lift3));
  rt[(tx + 4u) / 2u][(tx + 4u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(dp0_0.y * lift0, dp1_0.y * lift1, dp2_0.y * lift2, dp3_0.y * lift3));
  rt[(tx + 8u) / 2u][(tx + 8u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(dp0_0.z * lift0, dp1_0.z * lift1, dp2_0.z * lift2, dp3_0.z * lift3));
  rt[(tx + 12u) / 2u][(tx + 12u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(dp0_0.w * lift0, dp1_0.w * lift1, dp2_0.w * lift2, dp3_0.w * lift3));
  rt[(tx + 16u) / 2u][(tx + 16u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(dp0_1.x * lift0, dp1_1.x * lift1, dp2_1.x * lift2, dp3_1.x * lift3));
  rt[(tx + 20u) / 2u][(tx + 20u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(dp0_1.y * lift0, dp1_1.y * lift1, dp2_1.y * lift2, dp3_1.y * lift3));
  rt[(tx + 24u) / 2u][(tx + 24u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(dp0_1.z * lift0, dp1_1.z * lift1, dp2_1.z * lift2, dp3_1.z * lift3));
  rt[(tx + 28u) / 2u][(tx + 28u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(dp0_1.w * lift0, dp1_1.w * lift1, dp2_1.w * lift2, dp3_1.w * lift3));
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = r0 + 0u + stage_row; let x0 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from0, last_row) % U.group), (min(from0, last_row) / U.group)), from_column) * staged_scale, inside & (from0 < end)));
    let from1 = r0 + 4u + stage_row; let x1 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from1, last_row) % U.group), (min(from1, last_row) / U.group)), from_column) * staged_scale, inside & (from1 < end)));
    let from2 = r0 + 8u + stage_row; let x2 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from2, last_row) % U.group), (min(from2, last_row) / U.group)), from_column) * staged_scale, inside & (from2 < end)));
    let from3 = r0 + 12u + stage_row; let x3 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from3, last_row) % U.group), (min(from3, last_row) / U.group)), from_column) * staged_scale, inside & (from3 < end)));
    let from4 = r0 + 16u + stage_row; let x4 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from4, last_row) % U.group), (min(from4, last_row) / U.group)), from_column) * staged_scale, inside & (from4 < end)));
    let from5 = r0 + 20u + stage_row; let x5 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from5, last_row) % U.group), (min(from5, last_row) / U.group)), from_column) * staged_scale, inside & (from5 < end)));
    let from6 = r0 + 24u + stage_row; let x6 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from6, last_row) % U.group), (min(from6, last_row) / U.group)), from_column) * staged_scale, inside & (from6 < end)));
    let from7 = r0 + 28u + stage_row; let x7 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from7, last_row) % U.group), (min(from7, last_row) / U.group)), from_column) * staged_scale, inside & (from7 < end)));
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = x0;
    ct[(stage_row + 4u) / 2u][(stage_row + 4u) % 2u][stage_column] = x1;
    ct[(stage_row + 8u) / 2u][(stage_row + 8u) % 2u][stage_column] = x2;
    ct[(stage_row + 12u) / 2u][(stage_row + 12u) % 2u][stage_column] = x3;
    ct[(stage_row + 16u) / 2u][(stage_row + 16u) % 2u][stage_column] = x4;
    ct[(stage_row + 20u) / 2u][(stage_row + 20u) % 2u][stage_column] = x5;
    ct[(stage_row + 24u) / 2u][(stage_row + 24u) % 2u][stage_column] = x6;
    ct[(stage_row + 28u) / 2u][(stage_row + 28u) % 2u][stage_column] = x7;
  }
  workgroupBarrier();
  {
    let runs_left = min(((max(end, r0) - r0) + 15u) / 16u, 2u);
    var run0_0: vec4<f16>; var runs0_0 = vec4<f16>(0.0);
    var run0_1: vec4<f16>; var runs0_1 = vec4<f16>(0.0);
    var run1_0: vec4<f16>; var runs1_0 = vec4<f16>(0.0);
    var run1_1: vec4<f16>; var runs1_1 = vec4<f16>(0.0);
    var run2_0: vec4<f16>; var runs2_0 = vec4<f16>(0.0);
    var run2_1: vec4<f16>; var runs2_1 = vec4<f16>(0.0);
    var run3_0: vec4<f16>; var runs3_0 = vec4<f16>(0.0);
    var run3_1: vec4<f16>; var runs3_1 = vec4<f16>(0.0);
  for (var x_run = 0u; x_run < runs_left; x_run++) {
    run0_0 = vec4<f16>(0.0);
    run0_1 = vec4<f16>(0.0);
    run1_0 = vec4<f16>(0.0);
    run1_1 = vec4<f16>(0.0);
    run2_0 = vec4<f16>(0.0);
    run2_1 = vec4<f16>(0.0);
    run3_0 = vec4<f16>(0.0);
    run3_1 = vec4<f16>(0.0);
  for (var x = x_run * 8u; x < (x_run + 1u) * 8u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      let b1 = ct[x][0][tx + 4u];
      run0_0 = fma(vec4<f16>(a0.x), b0, run0_0);
      run0_1 = fma(vec4<f16>(a0.x), b1, run0_1);
      run1_0 = fma(vec4<f16>(a0.y), b0, run1_0);
      run1_1 = fma(vec4<f16>(a0.y), b1, run1_1);
      run2_0 = fma(vec4<f16>(a0.z), b0, run2_0);
      run2_1 = fma(vec4<f16>(a0.z), b1, run2_1);
      run3_0 = fma(vec4<f16>(a0.w), b0, run3_0);
      run3_1 = fma(vec4<f16>(a0.w), b1, run3_1);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      let b1 = ct[x][1][tx + 4u];
      run0_0 = fma(vec4<f16>(a0.x), b0, run0_0);
      run0_1 = fma(vec4<f16>(a0.x), b1, run0_1);
      run1_0 = fma(vec4<f16>(a0.y), b0, run1_0);
      run1_1 = fma(vec4<f16>(a0.y), b1, run1_1);
      run2_0 = fma(vec4<f16>(a0.z), b0, run2_0);
      run2_1 = fma(vec4<f16>(a0.z), b1, run2_1);
      run3_0 = fma(vec4<f16>(a0.w), b0, run3_0);
      run3_1 = fma(vec4<f16>(a0.w), b1, run3_1);
    }
  }
    runs0_0 += run0_0;
    runs0_1 += run0_1;
    runs1_0 += run1_0;
    runs1_1 += run1_1;
    runs2_0 += run2_0;
    runs2_1 += run2_1;
    runs3_0 += run3_0;
    runs3_1 += run3_1;
  }
    dk0_0 = fma(vec4<f32>(runs0_0), vec4<f32>(lower0), dk0_0);
    dk0_1 = fma(vec4<f32>(runs0_1), vec4<f32>(lower0), dk0_1);
    dk1_0 = fma(vec4<f32>(runs1_0), vec4<f32>(lower1), dk1_0);
    dk1_1 = fma(vec4<f32>(runs1_1), vec4<f32>(lower1), dk1_1);
    dk2_0 = fma(vec4<f32>(runs2_0), vec4<f32>(lower2), dk2_0);
    dk2_1 = fma(vec4<f32>(runs2_1), vec4<f32>(lower2), dk2_1);
    dk3_0 = fma(vec4<f32>(runs3_0), vec4<f32>(lower3), dk3_0);
    dk3_1 = fma(vec4<f32>(runs3_1), vec4<f32>(lower3), dk3_1);
  }
  }
  // dV += P^T dOut
  {
  // the largest of each row
  row_tops[ty][0][tx] = max(size4(s0_0), size4(s0_1));
  row_tops[ty][1][tx] = max(size4(s1_0), size4(s1_1));
  row_tops[ty][2][tx] = max(size4(s2_0), size4(s2_1));
  row_tops[ty][3][tx] = max(size4(s3_0), size4(s3_1));
  workgroupBarrier();
  for (var t = li; t < 32u; t += 32u) {
    var top = 0.0;
    top = max(top, row_tops[t / 4u][t % 4u][0]);
    top = max(top, row_tops[t / 4u][t % 4u][1]);
    top = max(top, row_tops[t / 4u][t % 4u][2]);
    top = max(top, row_tops[t / 4u][t % 4u][3]);
    row_powers[t] = power_to(top, 3u);
  }
  workgroupBarrier();
  let lift0 = row_powers[ty * 4u + 0u]; let lower0 = inverse_power(lift0);
  let lift1 = row_powers[ty * 4u + 1u]; let lower1 = inverse_power(lift1);
  let lift2 = row_powers[ty * 4u + 2u]; let lower2 = inverse_power(lift2);
  let lift3 = row_powers[ty * 4u + 3u]; let lower3 = inverse_power(lift3);
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_0.x * lift0, s1_0.x * lift1, s2_0.x * lift2, s3_0.x * lift3));
  rt[(tx + 4u) / 2u][(tx + 4u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_0.y * lift0, s1_0.y * lift1, s2_0.y * lift2, s3_0.y * lift3));
  rt[(tx + 8u) / 2u][(tx + 8u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_0.z * lift0, s1_0.z * lift1, s2_0.z * lift2, s3_0.z * lift3));
  rt[(tx + 12u) / 2u][(tx + 12u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_0.w * lift0, s1_0.w * lift1, s2_0.w * lift2, s3_0.w * lift3));
  rt[(tx + 16u) / 2u][(tx + 16u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_1.x * lift0, s1_1.x * lift1, s2_1.x * lift2, s3_1.x * lift3));
  rt[(tx + 20u) / 2u][(tx + 20u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_1.y * lift0, s1_1.y * lift1, s2_1.y * lift2, s3_1.y * lift3));
  rt[(tx + 24u) / 2u][(tx + 24u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_1.z * lift0, s1_1.z * lift1, s2_1.z * lift2, s3_1.z * lift3));
  rt[(tx + 28u) / 2u][(tx + 28u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_1.w * lift0, s1_1.w * lift1, s2_1.w * lift2, s3_1.w * lift3));
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (0u + stage_column) <= last_column; let from_column = min((0u + stage_column), last_column);
    let from0 = r0 + 0u + stage_row; let x0 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from0, last_row) % U.group), (min(from0, last_row) / U.group)), from_column) * dout_powers[stage_row], inside & (from0 < end)));
    let from1 = r0 + 4u + stage_row; let x1 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from1, last_row) % U.group), (min(from1, last_row) / U.group)), from_column) * dout_powers[stage_row + 4u], inside & (from1 < end)));
    let from2 = r0 + 8u + stage_row; let x2 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from2, last_row) % U.group), (min(from2, last_row) / U.group)), from_column) * dout_powers[stage_row + 8u], inside & (from2 < end)));
    let from3 = r0 + 12u + stage_row; let x3 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from3, last_row) % U.group), (min(from3, last_row) / U.group)), from_column) * dout_powers[stage_row + 12u], inside & (from3 < end)));
    let from4 = r0 + 16u + stage_row; let x4 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from4, last_row) % U.group), (min(from4, last_row) / U.group)), from_column) * dout_powers[stage_row + 16u], inside & (from4 < end)));
    let from5 = r0 + 20u + stage_row; let x5 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from5, last_row) % U.group), (min(from5, last_row) / U.group)), from_column) * dout_powers[stage_row + 20u], inside & (from5 < end)));
    let from6 = r0 + 24u + stage_row; let x6 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from6, last_row) % U.group), (min(from6, last_row) / U.group)), from_column) * dout_powers[stage_row + 24u], inside & (from6 < end)));
    let from7 = r0 + 28u + stage_row; let x7 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from7, last_row) % U.group), (min(from7, last_row) / U.group)), from_column) * dout_powers[stage_row + 28u], inside & (from7 < end)));
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = x0;
    ct[(stage_row + 4u) / 2u][(stage_row + 4u) % 2u][stage_column] = x1;
    ct[(stage_row + 8u) / 2u][(stage_row + 8u) % 2u][stage_column] = x2;
    ct[(stage_row + 12u) / 2u][(stage_row + 12u) % 2u][stage_column] = x3;
    ct[(stage_row + 16u) / 2u][(stage_row + 16u) % 2u][stage_column] = x4;
    ct[(stage_row + 20u) / 2u][(stage_row + 20u) % 2u][stage_column] = x5;
    ct[(stage_row + 24u) / 2u][(stage_row + 24u) % 2u][stage_column] = x6;
    ct[(stage_row + 28u) / 2u][(stage_row + 28u) % 2u][stage_column] = x7;
  }
  workgroupBarrier();
  {
    let runs_left = min(((max(end, r0) - r0) + 15u) / 16u, 2u);
    var run0_0: vec4<f16>; var runs0_0 = vec4<f16>(0.0);
    var run0_1: vec4<f16>; var runs0_1 = vec4<f16>(0.0);
    var run1_0: vec4<f16>; var runs1_0 = vec4<f16>(0.0);
    var run1_1: vec4<f16>; var runs1_1 = vec4<f16>(0.0);
    var run2_0: vec4<f16>; var runs2_0 = vec4<f16>(0.0);
    var run2_1: vec4<f16>; var runs2_1 = vec4<f16>(0.0);
    var run3_0: vec4<f16>; var runs3_0 = vec4<f16>(0.0);
    var run3_1: vec4<f16>; var runs3_1 = vec4<f16>(0.0);
  for (var x_run = 0u; x_run < runs_left; x_run++) {
    run0_0 = vec4<f16>(0.0);
    run0_1 = vec4<f16>(0.0);
    run1_0 = vec4<f16>(0.0);
    run1_1 = vec4<f16>(0.0);
    run2_0 = vec4<f16>(0.0);
    run2_1 = vec4<f16>(0.0);
    run3_0 = vec4<f16>(0.0);
    run3_1 = vec4<f16>(0.0);
  for (var x = x_run * 8u; x < (x_run + 1u) * 8u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      let b1 = ct[x][0][tx + 4u];
      run0_0 = fma(vec4<f16>(a0.x), b0, run0_0);
      run0_1 = fma(vec4<f16>(a0.x), b1, run0_1);
      run1_0 = fma(vec4<f16>(a0.y), b0, run1_0);
      run1_1 = fma(vec4<f16>(a0.y), b1, run1_1);
      run2_0 = fma(vec4<f16>(a0.z), b0, run2_0);
      run2_1 = fma(vec4<f16>(a0.z), b1, run2_1);
      run3_0 = fma(vec4<f16>(a0.w), b0, run3_0);
      run3_1 = fma(vec4<f16>(a0.w), b1, run3_1);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      let b1 = ct[x][1][tx + 4u];
      run0_0 = fma(vec4<f16>(a0.x), b0, run0_0);
      run0_1 = fma(vec4<f16>(a0.x), b1, run0_1);
      run1_0 = fma(vec4<f16>(a0.y), b0, run1_0);
      run1_1 = fma(vec4<f16>(a0.y), b1, run1_1);
      run2_0 = fma(vec4<f16>(a0.z), b0, run2_0);
      run2_1 = fma(vec4<f16>(a0.z), b1, run2_1);
      run3_0 = fma(vec4<f16>(a0.w), b0, run3_0);
      run3_1 = fma(vec4<f16>(a0.w), b1, run3_1);
    }
  }
    runs0_0 += run0_0;
    runs0_1 += run0_1;
    runs1_0 += run1_0;
    runs1_1 += run1_1;
    runs2_0 += run2_0;
    runs2_1 += run2_1;
    runs3_0 += run3_0;
    runs3_1 += run3_1;
  }
    dv0_0 = fma(vec4<f32>(runs0_0), vec4<f32>(lower0), dv0_0);
    dv0_1 = fma(vec4<f32>(runs0_1), vec4<f32>(lower0), dv0_1);
    dv1_0 = fma(vec4<f32>(runs1_0), vec4<f32>(lower1), dv1_0);
    dv1_1 = fma(vec4<f32>(runs1_1), vec4<f32>(lower1), dv1_1);
    dv2_0 = fma(vec4<f32>(runs2_0), vec4<f32>(lower2), dv2_0);
    dv2_1 = fma(vec4<f32>(runs2_1), vec4<f32>(lower2), dv2_1);
    dv3_0 = fma(vec4<f32>(runs3_0), vec4<f32>(lower3), dv3_0);
    dv3_1 = fma(vec4<f32>(runs3_1), vec4<f32>(lower3), dv3_1);
  }
  }
  }
  // dk = dK, dv = dV
  if (key0 < U.length_k) {
    let real = key0 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key0);
    let at_dv = dv_row(batch, kv_head, key0);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk0_0, real));
    store_dk(at_dk, block + tx + 4u, select(vec4<f32>(0.0), dk0_1, real));
    store_dv(at_dv, block + tx + 0u, select(vec4<f32>(0.0), dv0_0, real));
    store_dv(at_dv, block + tx + 4u, select(vec4<f32>(0.0), dv0_1, real));
  }
  if (key1 < U.length_k) {
    let real = key1 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key1);
    let at_dv = dv_row(batch, kv_head, key1);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk1_0, real));
    store_dk(at_dk, block + tx + 4u, select(vec4<f32>(0.0), dk1_1, real));
    store_dv(at_dv, block + tx + 0u, select(vec4<f32>(0.0), dv1_0, real));
    store_dv(at_dv, block + tx + 4u, select(vec4<f32>(0.0), dv1_1, real));
  }
  if (key2 < U.length_k) {
    let real = key2 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key2);
    let at_dv = dv_row(batch, kv_head, key2);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk2_0, real));
    store_dk(at_dk, block + tx + 4u, select(vec4<f32>(0.0), dk2_1, real));
    store_dv(at_dv, block + tx + 0u, select(vec4<f32>(0.0), dv2_0, real));
    store_dv(at_dv, block + tx + 4u, select(vec4<f32>(0.0), dv2_1, real));
  }
  if (key3 < U.length_k) {
    let real = key3 < limit; // keys past the sequence's length have gradient 0
    let at_dk = dk_row(batch, kv_head, key3);
    let at_dv = dv_row(batch, kv_head, key3);
    store_dk(at_dk, block + tx + 0u, select(vec4<f32>(0.0), dk3_0, real));
    store_dk(at_dk, block + tx + 4u, select(vec4<f32>(0.0), dk3_1, real));
    store_dv(at_dv, block + tx + 0u, select(vec4<f32>(0.0), dv3_0, real));
    store_dv(at_dv, block + tx + 4u, select(vec4<f32>(0.0), dv3_1, real));
  }
}
