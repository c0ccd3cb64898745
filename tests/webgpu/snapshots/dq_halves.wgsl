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
  let row0 = first + ty * 4u + 0u; let query0 = (row0 / U.group);
  let head0 = (kv_head * U.group + row0 % U.group);
  var lse0 = 3.4028234e38; var delta0 = 0.0; var low_sum0 = 0.0;
  if (row0 < row_count) { let x = stats[stats_base + row0]; lse0 = x.x; delta0 = x.y; low_sum0 = x.z; }
  var power0 = 1.0; if (row0 < row_count) { power0 = stats[U.split_rows + stats_base + row0].z; }
  let undo0 = inverse_power(power0);
  if (tx == 0u) { dout_powers[ty * 4u + 0u] = power0; }
  let row1 = first + ty * 4u + 1u; let query1 = (row1 / U.group);
  let head1 = (kv_head * U.group + row1 % U.group);
  var lse1 = 3.4028234e38; var delta1 = 0.0; var low_sum1 = 0.0;
  if (row1 < row_count) { let x = stats[stats_base + row1]; lse1 = x.x; delta1 = x.y; low_sum1 = x.z; }
  var power1 = 1.0; if (row1 < row_count) { power1 = stats[U.split_rows + stats_base + row1].z; }
  let undo1 = inverse_power(power1);
  if (tx == 0u) { dout_powers[ty * 4u + 1u] = power1; }
  let row2 = first + ty * 4u + 2u; let query2 = (row2 / U.group);
  let head2 = (kv_head * U.group + row2 % U.group);
  var lse2 = 3.4028234e38; var delta2 = 0.0; var low_sum2 = 0.0;
  if (row2 < row_count) { let x = stats[stats_base + row2]; lse2 = x.x; delta2 = x.y; low_sum2 = x.z; }
  var power2 = 1.0; if (row2 < row_count) { power2 = stats[U.split_rows + stats_base + row2].z; }
  let undo2 = inverse_power(power2);
  if (tx == 0u) { dout_powers[ty * 4u + 2u] = power2; }
  let row3 = first + ty * 4u + 3u; let query3 = (row3 / U.group);
  let head3 = (kv_head * U.group + row3 % U.group);
  var lse3 = 3.4028234e38; var delta3 = 0.0; var low_sum3 = 0.0;
  if (row3 < row_count) { let x = stats[stats_base + row3]; lse3 = x.x; delta3 = x.y; low_sum3 = x.z; }
  var power3 = 1.0; if (row3 < row_count) { power3 = stats[U.split_rows + stats_base + row3].z; }
  let undo3 = inverse_power(power3);
  if (tx == 0u) { dout_powers[ty * 4u + 3u] = power3; }
  var dq0_0 = vec4<f32>(0.0);
  var dq0_1 = vec4<f32>(0.0);
  var dq1_0 = vec4<f32>(0.0);
  var dq1_1 = vec4<f32>(0.0);
  var dq2_0 = vec4<f32>(0.0);
  var dq2_1 = vec4<f32>(0.0);
  var dq3_0 = vec4<f32>(0.0);
  var dq3_1 = vec4<f32>(0.0);
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
  let last = min(first + 32u, row_count) - 1u;
  let first_query = i32((first / U.group)); let last_query = i32((last / U.group));
  let staged_scale = U.scale;
  for (var k0 = begin; k0 < end; k0 += 32u) {
  let key_0 = vec4<u32>(k0 + tx) + vec4<u32>(0u, 4u, 8u, 12u);
  let key_1 = vec4<u32>(k0 + tx) + vec4<u32>(16u, 20u, 24u, 28u);
  // dP = dOut V^T
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
    let last_row = max(row_count, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column) * dout_powers[4u * stage_slot + 0u], inside & (from0_0 < row_count)));
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column) * dout_powers[4u * stage_slot + 1u], inside & (from0_1 < row_count)));
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column) * dout_powers[4u * stage_slot + 2u], inside & (from0_2 < row_count)));
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column) * dout_powers[4u * stage_slot + 3u], inside & (from0_3 < row_count)));
    let from1_0 = first + 4u * (stage_slot + 4u) + 0u; let x1_0 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from1_0, last_row) % U.group), (min(from1_0, last_row) / U.group)), from_column) * dout_powers[4u * (stage_slot + 4u) + 0u], inside & (from1_0 < row_count)));
    let from1_1 = first + 4u * (stage_slot + 4u) + 1u; let x1_1 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from1_1, last_row) % U.group), (min(from1_1, last_row) / U.group)), from_column) * dout_powers[4u * (stage_slot + 4u) + 1u], inside & (from1_1 < row_count)));
    let from1_2 = first + 4u * (stage_slot + 4u) + 2u; let x1_2 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from1_2, last_row) % U.group), (min(from1_2, last_row) / U.group)), from_column) * dout_powers[4u * (stage_slot + 4u) + 2u], inside & (from1_2 < row_count)));
    let from1_3 = first + 4u * (stage_slot + 4u) + 3u; let x1_3 = to_halves(select(vec4<f32>(0.0), load_dout(dout_row(batch, (kv_head * U.group + min(from1_3, last_row) % U.group), (min(from1_3, last_row) / U.group)), from_column) * dout_powers[4u * (stage_slot + 4u) + 3u], inside & (from1_3 < row_count)));
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
    let from0_0 = k0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 0u); let x0_0 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from0_0, last_row)), from_column), inside & (from0_0 < end)));
    let from0_1 = k0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 1u); let x0_1 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from0_1, last_row)), from_column), inside & (from0_1 < end)));
    let from0_2 = k0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 2u); let x0_2 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from0_2, last_row)), from_column), inside & (from0_2 < end)));
    let from0_3 = k0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 3u); let x0_3 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from0_3, last_row)), from_column), inside & (from0_3 < end)));
    let from1_0 = k0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 0u); let x1_0 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from1_0, last_row)), from_column), inside & (from1_0 < end)));
    let from1_1 = k0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 1u); let x1_1 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from1_1, last_row)), from_column), inside & (from1_1 < end)));
    let from1_2 = k0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 2u); let x1_2 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from1_2, last_row)), from_column), inside & (from1_2 < end)));
    let from1_3 = k0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 3u); let x1_3 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from1_3, last_row)), from_column), inside & (from1_3 < end)));
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
  dp0_0 *= undo0;
  dp0_1 *= undo0;
  dp1_0 *= undo1;
  dp1_1 *= undo1;
  dp2_0 *= undo2;
  dp2_1 *= undo2;
  dp3_0 *= undo3;
  dp3_1 *= undo3;
  // S = Q K^T
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
    let last_row = max(row_count, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    let from0_0 = first + 4u * stage_slot + 0u; let x0_0 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from0_0, last_row) % U.group), (min(from0_0, last_row) / U.group)), from_column) * staged_scale, inside & (from0_0 < row_count)));
    let from0_1 = first + 4u * stage_slot + 1u; let x0_1 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from0_1, last_row) % U.group), (min(from0_1, last_row) / U.group)), from_column) * staged_scale, inside & (from0_1 < row_count)));
    let from0_2 = first + 4u * stage_slot + 2u; let x0_2 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from0_2, last_row) % U.group), (min(from0_2, last_row) / U.group)), from_column) * staged_scale, inside & (from0_2 < row_count)));
    let from0_3 = first + 4u * stage_slot + 3u; let x0_3 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from0_3, last_row) % U.group), (min(from0_3, last_row) / U.group)), from_column) * staged_scale, inside & (from0_3 < row_count)));
    let from1_0 = first + 4u * (stage_slot + 4u) + 0u; let x1_0 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from1_0, last_row) % U.group), (min(from1_0, last_row) / U.group)), from_column) * staged_scale, inside & (from1_0 < row_count)));
    let from1_1 = first + 4u * (stage_slot + 4u) + 1u; let x1_1 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from1_1, last_row) % U.group), (min(from1_1, last_row) / U.group)), from_column) * staged_scale, inside & (from1_1 < row_count)));
    let from1_2 = first + 4u * (stage_slot + 4u) + 2u; let x1_2 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from1_2, last_row) % U.group), (min(from1_2, last_row) / U.group)), from_column) * staged_scale, inside & (from1_2 < row_count)));
    let from1_3 = first + 4u * (stage_slot + 4u) + 3u; let x1_3 = to_halves(select(vec4<f32>(0.0), load_q(q_row(batch, (kv_head * U.group + min(from1_3, last_row) % U.group), (min(from1_3, last_row) / U.group)), from_column) * staged_scale, inside & (from1_3 < row_count)));
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
    let from0_0 = k0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 0u); let x0_0 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from0_0, last_row)), from_column), inside & (from0_0 < end)));
    let from0_1 = k0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 1u); let x0_1 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from0_1, last_row)), from_column), inside & (from0_1 < end)));
    let from0_2 = k0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 2u); let x0_2 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from0_2, last_row)), from_column), inside & (from0_2 < end)));
    let from0_3 = k0 + stage_slot % 4u + 4u * (4u * (stage_slot / 4u) + 3u); let x0_3 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from0_3, last_row)), from_column), inside & (from0_3 < end)));
    let from1_0 = k0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 0u); let x1_0 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from1_0, last_row)), from_column), inside & (from1_0 < end)));
    let from1_1 = k0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 1u); let x1_1 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from1_1, last_row)), from_column), inside & (from1_1 < end)));
    let from1_2 = k0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 2u); let x1_2 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from1_2, last_row)), from_column), inside & (from1_2 < end)));
    let from1_3 = k0 + (stage_slot + 4u) % 4u + 4u * (4u * ((stage_slot + 4u) / 4u) + 3u); let x1_3 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from1_3, last_row)), from_column), inside & (from1_3 < end)));
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
  // P = exp(features(S) - lse), dS = P (dP - delta) slope
  {
    let log2p = fma(s0_0 - vec4<f32>(lse0), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum0));
    let p = exp2(log2p);
    let ds = p * (dp0_0 - vec4<f32>(delta0));
    dp0_0 = ds;
  }
  {
    let log2p = fma(s0_1 - vec4<f32>(lse0), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum0));
    let p = exp2(log2p);
    let ds = p * (dp0_1 - vec4<f32>(delta0));
    dp0_1 = ds;
  }
  {
    let log2p = fma(s1_0 - vec4<f32>(lse1), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum1));
    let p = exp2(log2p);
    let ds = p * (dp1_0 - vec4<f32>(delta1));
    dp1_0 = ds;
  }
  {
    let log2p = fma(s1_1 - vec4<f32>(lse1), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum1));
    let p = exp2(log2p);
    let ds = p * (dp1_1 - vec4<f32>(delta1));
    dp1_1 = ds;
  }
  {
    let log2p = fma(s2_0 - vec4<f32>(lse2), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum2));
    let p = exp2(log2p);
    let ds = p * (dp2_0 - vec4<f32>(delta2));
    dp2_0 = ds;
  }
  {
    let log2p = fma(s2_1 - vec4<f32>(lse2), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum2));
    let p = exp2(log2p);
    let ds = p * (dp2_1 - vec4<f32>(delta2));
    dp2_1 = ds;
  }
  {
    let log2p = fma(s3_0 - vec4<f32>(lse3), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum3));
    let p = exp2(log2p);
    let ds = p * (dp3_0 - vec4<f32>(delta3));
    dp3_0 = ds;
  }
  {
    let log2p = fma(s3_1 - vec4<f32>(lse3), vec4<f32>(1.4426950408889634), vec4<f32>(-low_sum3));
    let p = exp2(log2p);
    let ds = p * (dp3_1 - vec4<f32>(delta3));
    dp3_1 = ds;
  }
  // hide pairs outside the band
  if (k0 + 32u > end || i32(k0) + 31 > first_query + high || i32(k0) < last_query + low) {
    let hi0 = min(i32(end) - 1, i32(query0) + high); let lo0 = i32(query0) + low;
    dp0_0 = select(dp0_0, vec4<f32>(0.0), (vec4<i32>(key_0) > vec4<i32>(hi0)) | (vec4<i32>(key_0) < vec4<i32>(lo0)));
    dp0_1 = select(dp0_1, vec4<f32>(0.0), (vec4<i32>(key_1) > vec4<i32>(hi0)) | (vec4<i32>(key_1) < vec4<i32>(lo0)));
    let hi1 = min(i32(end) - 1, i32(query1) + high); let lo1 = i32(query1) + low;
    dp1_0 = select(dp1_0, vec4<f32>(0.0), (vec4<i32>(key_0) > vec4<i32>(hi1)) | (vec4<i32>(key_0) < vec4<i32>(lo1)));
    dp1_1 = select(dp1_1, vec4<f32>(0.0), (vec4<i32>(key_1) > vec4<i32>(hi1)) | (vec4<i32>(key_1) < vec4<i32>(lo1)));
    let hi2 = min(i32(end) - 1, i32(query2) + high); let lo2 = i32(query2) + low;
    dp2_0 = select(dp2_0, vec4<f32>(0.0), (vec4<i32>(key_0) > vec4<i32>(hi2)) | (vec4<i32>(key_0) < vec4<i32>(lo2)));
    dp2_1 = select(dp2_1, vec4<f32>(0.0), (vec4<i32>(key_1) > vec4<i32>(hi2)) | (vec4<i32>(key_1) < vec4<i32>(lo2)));
    let hi3 = min(i32(end) - 1, i32(query3) + high); let lo3 = i32(query3) + low;
    dp3_0 = select(dp3_0, vec4<f32>(0.0), (vec4<i32>(key_0) > vec4<i32>(hi3)) | (vec4<i32>(key_0) < vec4<i32>(lo3)));
    dp3_1 = select(dp3_1, vec4<f32>(0.0), (vec4<i32>(key_1) > vec4<i32>(hi3)) | (vec4<i32>(key_1) < vec4<i32>(lo3)));
  }
  // dQ += dS K
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
    let from0 = k0 + 0u + stage_row; let x0 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from0, last_row)), from_column), inside & (from0 < end)));
    let from1 = k0 + 4u + stage_row; let x1 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from1, last_row)), from_column), inside & (from1 < end)));
    let from2 = k0 + 8u + stage_row; let x2 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from2, last_row)), from_column), inside & (from2 < end)));
    let from3 = k0 + 12u + stage_row; let x3 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from3, last_row)), from_column), inside & (from3 < end)));
    let from4 = k0 + 16u + stage_row; let x4 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from4, last_row)), from_column), inside & (from4 < end)));
    let from5 = k0 + 20u + stage_row; let x5 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from5, last_row)), from_column), inside & (from5 < end)));
    let from6 = k0 + 24u + stage_row; let x6 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from6, last_row)), from_column), inside & (from6 < end)));
    let from7 = k0 + 28u + stage_row; let x7 = to_halves(select(vec4<f32>(0.0), load_k(k_row(batch, kv_head, min(from7, last_row)), from_column), inside & (from7 < end)));
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
    let runs_left = min(((max(end, k0) - k0) + 15u) / 16u, 2u);
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
    dq0_0 = fma(vec4<f32>(runs0_0), vec4<f32>(lower0), dq0_0);
    dq0_1 = fma(vec4<f32>(runs0_1), vec4<f32>(lower0), dq0_1);
    dq1_0 = fma(vec4<f32>(runs1_0), vec4<f32>(lower1), dq1_0);
    dq1_1 = fma(vec4<f32>(runs1_1), vec4<f32>(lower1), dq1_1);
    dq2_0 = fma(vec4<f32>(runs2_0), vec4<f32>(lower2), dq2_0);
    dq2_1 = fma(vec4<f32>(runs2_1), vec4<f32>(lower2), dq2_1);
    dq3_0 = fma(vec4<f32>(runs3_0), vec4<f32>(lower3), dq3_0);
    dq3_1 = fma(vec4<f32>(runs3_1), vec4<f32>(lower3), dq3_1);
  }
  }
  }
  // dq = scale dQ
  if (row0 < row_count) {
    let at = dq_row(batch, head0, query0);
    store_dq(at, block + tx + 0u, dq0_0 * U.scale);
    store_dq(at, block + tx + 4u, dq0_1 * U.scale);
  }
  if (row1 < row_count) {
    let at = dq_row(batch, head1, query1);
    store_dq(at, block + tx + 0u, dq1_0 * U.scale);
    store_dq(at, block + tx + 4u, dq1_1 * U.scale);
  }
  if (row2 < row_count) {
    let at = dq_row(batch, head2, query2);
    store_dq(at, block + tx + 0u, dq2_0 * U.scale);
    store_dq(at, block + tx + 4u, dq2_1 * U.scale);
  }
  if (row3 < row_count) {
    let at = dq_row(batch, head3, query3);
    store_dq(at, block + tx + 0u, dq3_0 * U.scale);
    store_dq(at, block + tx + 4u, dq3_1 * U.scale);
  }
}
