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
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
fn store_out(at: u32, c: u32, x: vec4<f32>) {
  if (4u * c < U.value_dim) { out[(at >> 2u) + c] = x; }
}
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
fn v_row(b: u32, h: u32, i: u32) -> u32 {
  return U.v_at + b * U.v_batch + h * U.v_head + i * U.v_row;
}
fn out_row(b: u32, h: u32, i: u32) -> u32 {
  return U.out_at + b * U.out_batch + h * U.out_head + i * U.out_row;
}
fn lse_row(b: u32, h: u32, i: u32) -> u32 {
  return U.lse_at + b * U.lse_batch + h * U.lse_head + i * U.lse_row;
}
var<workgroup> rt: array<array<array<vec4<f16>, 9>, 2>, 16>;
var<workgroup> ct: array<array<array<vec4<f16>, 9>, 2>, 16>;
fn to_halves(x: vec4<f32>) -> vec4<f16> {
  let size = abs(x); let largest = max(max(size.x, size.y), max(size.z, size.w));
  return vec4<f16>(vec4<f32>(select(x.x, bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u), largest > 65504.0), x.yzw));
}
var<workgroup> rm: array<array<array<f32, 5>, 4>, 8>;
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
  let row0 = first + ty * 4u + 0u; let query0 = (row0 / U.group);
  let head0 = (kv_head * U.group + row0 % U.group);
  var m0 = FLOOR; var l0 = 0.0;
  let row1 = first + ty * 4u + 1u; let query1 = (row1 / U.group);
  let head1 = (kv_head * U.group + row1 % U.group);
  var m1 = FLOOR; var l1 = 0.0;
  let row2 = first + ty * 4u + 2u; let query2 = (row2 / U.group);
  let head2 = (kv_head * U.group + row2 % U.group);
  var m2 = FLOOR; var l2 = 0.0;
  let row3 = first + ty * 4u + 3u; let query3 = (row3 / U.group);
  let head3 = (kv_head * U.group + row3 % U.group);
  var m3 = FLOOR; var l3 = 0.0;
  var o0_0 = vec4<f32>(0.0);
  var o0_1 = vec4<f32>(0.0);
  var o1_0 = vec4<f32>(0.0);
  var o1_1 = vec4<f32>(0.0);
  var o2_0 = vec4<f32>(0.0);
  var o2_1 = vec4<f32>(0.0);
  var o3_0 = vec4<f32>(0.0);
  var o3_1 = vec4<f32>(0.0);
  var s0_0 = vec4<f32>(0.0);
  var s0_1 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s1_1 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s2_1 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  var s3_1 = vec4<f32>(0.0);
  let last = min(first + 32u, row_count) - 1u;
  let first_query = i32((first / U.group)); let last_query = i32((last / U.group));
  let staged_scale = U.scale;
  for (var k0 = begin; k0 < end; k0 += 32u) {
  let key_0 = vec4<u32>(k0 + tx) + vec4<u32>(0u, 4u, 8u, 12u);
  let key_1 = vec4<u32>(k0 + tx) + vec4<u32>(16u, 20u, 24u, 28u);
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
  // hide pairs outside the band
  if (k0 + 32u > end || i32(k0) + 31 > first_query + high || i32(k0) < last_query + low) {
    let hi0 = min(i32(end) - 1, i32(query0) + high); let lo0 = i32(query0) + low;
    s0_0 = select(s0_0, vec4<f32>(HIDDEN), (vec4<i32>(key_0) > vec4<i32>(hi0)) | (vec4<i32>(key_0) < vec4<i32>(lo0)));
    s0_1 = select(s0_1, vec4<f32>(HIDDEN), (vec4<i32>(key_1) > vec4<i32>(hi0)) | (vec4<i32>(key_1) < vec4<i32>(lo0)));
    let hi1 = min(i32(end) - 1, i32(query1) + high); let lo1 = i32(query1) + low;
    s1_0 = select(s1_0, vec4<f32>(HIDDEN), (vec4<i32>(key_0) > vec4<i32>(hi1)) | (vec4<i32>(key_0) < vec4<i32>(lo1)));
    s1_1 = select(s1_1, vec4<f32>(HIDDEN), (vec4<i32>(key_1) > vec4<i32>(hi1)) | (vec4<i32>(key_1) < vec4<i32>(lo1)));
    let hi2 = min(i32(end) - 1, i32(query2) + high); let lo2 = i32(query2) + low;
    s2_0 = select(s2_0, vec4<f32>(HIDDEN), (vec4<i32>(key_0) > vec4<i32>(hi2)) | (vec4<i32>(key_0) < vec4<i32>(lo2)));
    s2_1 = select(s2_1, vec4<f32>(HIDDEN), (vec4<i32>(key_1) > vec4<i32>(hi2)) | (vec4<i32>(key_1) < vec4<i32>(lo2)));
    let hi3 = min(i32(end) - 1, i32(query3) + high); let lo3 = i32(query3) + low;
    s3_0 = select(s3_0, vec4<f32>(HIDDEN), (vec4<i32>(key_0) > vec4<i32>(hi3)) | (vec4<i32>(key_0) < vec4<i32>(lo3)));
    s3_1 = select(s3_1, vec4<f32>(HIDDEN), (vec4<i32>(key_1) > vec4<i32>(hi3)) | (vec4<i32>(key_1) < vec4<i32>(lo3)));
  }
  // m' = max(m, rowmax S)
  rm[ty][0][tx] = max(max(m0, max(max(s0_0.x, s0_0.y), max(s0_0.z, s0_0.w))), max(max(s0_1.x, s0_1.y), max(s0_1.z, s0_1.w)));
  rm[ty][1][tx] = max(max(m1, max(max(s1_0.x, s1_0.y), max(s1_0.z, s1_0.w))), max(max(s1_1.x, s1_1.y), max(s1_1.z, s1_1.w)));
  rm[ty][2][tx] = max(max(m2, max(max(s2_0.x, s2_0.y), max(s2_0.z, s2_0.w))), max(max(s2_1.x, s2_1.y), max(s2_1.z, s2_1.w)));
  rm[ty][3][tx] = max(max(m3, max(max(s3_0.x, s3_0.y), max(s3_0.z, s3_0.w))), max(max(s3_1.x, s3_1.y), max(s3_1.z, s3_1.w)));
  workgroupBarrier(); // the chunks of Q and K are free as well
  var n0 = m0;
  var n1 = m1;
  var n2 = m2;
  var n3 = m3;
  n0 = max(n0, rm[ty][0][0]);
  n1 = max(n1, rm[ty][1][0]);
  n2 = max(n2, rm[ty][2][0]);
  n3 = max(n3, rm[ty][3][0]);
  n0 = max(n0, rm[ty][0][1]);
  n1 = max(n1, rm[ty][1][1]);
  n2 = max(n2, rm[ty][2][1]);
  n3 = max(n3, rm[ty][3][1]);
  n0 = max(n0, rm[ty][0][2]);
  n1 = max(n1, rm[ty][1][2]);
  n2 = max(n2, rm[ty][2][2]);
  n3 = max(n3, rm[ty][3][2]);
  n0 = max(n0, rm[ty][0][3]);
  n1 = max(n1, rm[ty][1][3]);
  n2 = max(n2, rm[ty][2][3]);
  n3 = max(n3, rm[ty][3][3]);
  // P = exp(S - m'), l = l exp(m - m') + rowsum P, O = O exp(m - m')
  { let a = exp2((m0 - n0) * 1.4426950408889634); m0 = n0; l0 *= a;
    s0_0 = exp2((s0_0 - vec4<f32>(n0)) * 1.4426950408889634); l0 += (s0_0.x + s0_0.y) + (s0_0.z + s0_0.w);
    s0_1 = exp2((s0_1 - vec4<f32>(n0)) * 1.4426950408889634); l0 += (s0_1.x + s0_1.y) + (s0_1.z + s0_1.w);
    o0_0 *= a;
    o0_1 *= a;
  }
  { let a = exp2((m1 - n1) * 1.4426950408889634); m1 = n1; l1 *= a;
    s1_0 = exp2((s1_0 - vec4<f32>(n1)) * 1.4426950408889634); l1 += (s1_0.x + s1_0.y) + (s1_0.z + s1_0.w);
    s1_1 = exp2((s1_1 - vec4<f32>(n1)) * 1.4426950408889634); l1 += (s1_1.x + s1_1.y) + (s1_1.z + s1_1.w);
    o1_0 *= a;
    o1_1 *= a;
  }
  { let a = exp2((m2 - n2) * 1.4426950408889634); m2 = n2; l2 *= a;
    s2_0 = exp2((s2_0 - vec4<f32>(n2)) * 1.4426950408889634); l2 += (s2_0.x + s2_0.y) + (s2_0.z + s2_0.w);
    s2_1 = exp2((s2_1 - vec4<f32>(n2)) * 1.4426950408889634); l2 += (s2_1.x + s2_1.y) + (s2_1.z + s2_1.w);
    o2_0 *= a;
    o2_1 *= a;
  }
  { let a = exp2((m3 - n3) * 1.4426950408889634); m3 = n3; l3 *= a;
    s3_0 = exp2((s3_0 - vec4<f32>(n3)) * 1.4426950408889634); l3 += (s3_0.x + s3_0.y) + (s3_0.z + s3_0.w);
    s3_1 = exp2((s3_1 - vec4<f32>(n3)) * 1.4426950408889634); l3 += (s3_1.x + s3_1.y) + (s3_1.z + s3_1.w);
    o3_0 *= a;
    o3_1 *= a;
  }
  // O += P V
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_0.x, s1_0.x, s2_0.x, s3_0.x));
  rt[(tx + 4u) / 2u][(tx + 4u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_0.y, s1_0.y, s2_0.y, s3_0.y));
  rt[(tx + 8u) / 2u][(tx + 8u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_0.z, s1_0.z, s2_0.z, s3_0.z));
  rt[(tx + 12u) / 2u][(tx + 12u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_0.w, s1_0.w, s2_0.w, s3_0.w));
  rt[(tx + 16u) / 2u][(tx + 16u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_1.x, s1_1.x, s2_1.x, s3_1.x));
  rt[(tx + 20u) / 2u][(tx + 20u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_1.y, s1_1.y, s2_1.y, s3_1.y));
  rt[(tx + 24u) / 2u][(tx + 24u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_1.z, s1_1.z, s2_1.z, s3_1.z));
  rt[(tx + 28u) / 2u][(tx + 28u) % 2u][ty * 1u + 0u] = to_halves(vec4<f32>(s0_1.w, s1_1.w, s2_1.w, s3_1.w));
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = ((block + 0u) + stage_column) <= last_column; let from_column = min(((block + 0u) + stage_column), last_column);
    let from0 = k0 + 0u + stage_row; let x0 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from0, last_row)), from_column), inside & (from0 < end)));
    let from1 = k0 + 4u + stage_row; let x1 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from1, last_row)), from_column), inside & (from1 < end)));
    let from2 = k0 + 8u + stage_row; let x2 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from2, last_row)), from_column), inside & (from2 < end)));
    let from3 = k0 + 12u + stage_row; let x3 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from3, last_row)), from_column), inside & (from3 < end)));
    let from4 = k0 + 16u + stage_row; let x4 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from4, last_row)), from_column), inside & (from4 < end)));
    let from5 = k0 + 20u + stage_row; let x5 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from5, last_row)), from_column), inside & (from5 < end)));
    let from6 = k0 + 24u + stage_row; let x6 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from6, last_row)), from_column), inside & (from6 < end)));
    let from7 = k0 + 28u + stage_row; let x7 = to_halves(select(vec4<f32>(0.0), load_v(v_row(batch, kv_head, min(from7, last_row)), from_column), inside & (from7 < end)));
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
    o0_0 += vec4<f32>(runs0_0);
    o0_1 += vec4<f32>(runs0_1);
    o1_0 += vec4<f32>(runs1_0);
    o1_1 += vec4<f32>(runs1_1);
    o2_0 += vec4<f32>(runs2_0);
    o2_1 += vec4<f32>(runs2_1);
    o3_0 += vec4<f32>(runs3_0);
    o3_1 += vec4<f32>(runs3_1);
  }
  }
  // out = O / l, lse = m + ln l; a row's sum lies with its threads
  workgroupBarrier();
  rm[ty][0][tx] = l0;
  rm[ty][1][tx] = l1;
  rm[ty][2][tx] = l2;
  rm[ty][3][tx] = l3;
  workgroupBarrier();
  if (row0 < row_count) {
    var l = 0.0;
    l += rm[ty][0][0];
    l += rm[ty][0][1];
    l += rm[ty][0][2];
    l += rm[ty][0][3];
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head0, query0) + slot * U.split_rows * U.value_dim;
    store_out(at, block + tx + 0u, o0_0 * inverse);
    store_out(at, block + tx + 4u, o0_1 * inverse);
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head0, query0) + slot * U.split_rows] = select(m0 + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
    }
  }
  if (row1 < row_count) {
    var l = 0.0;
    l += rm[ty][1][0];
    l += rm[ty][1][1];
    l += rm[ty][1][2];
    l += rm[ty][1][3];
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head1, query1) + slot * U.split_rows * U.value_dim;
    store_out(at, block + tx + 0u, o1_0 * inverse);
    store_out(at, block + tx + 4u, o1_1 * inverse);
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head1, query1) + slot * U.split_rows] = select(m1 + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
    }
  }
  if (row2 < row_count) {
    var l = 0.0;
    l += rm[ty][2][0];
    l += rm[ty][2][1];
    l += rm[ty][2][2];
    l += rm[ty][2][3];
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head2, query2) + slot * U.split_rows * U.value_dim;
    store_out(at, block + tx + 0u, o2_0 * inverse);
    store_out(at, block + tx + 4u, o2_1 * inverse);
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head2, query2) + slot * U.split_rows] = select(m2 + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
    }
  }
  if (row3 < row_count) {
    var l = 0.0;
    l += rm[ty][3][0];
    l += rm[ty][3][1];
    l += rm[ty][3][2];
    l += rm[ty][3][3];
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head3, query3) + slot * U.split_rows * U.value_dim;
    store_out(at, block + tx + 0u, o3_0 * inverse);
    store_out(at, block + tx + 4u, o3_1 * inverse);
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head3, query3) + slot * U.split_rows] = select(m3 + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
    }
  }
}
