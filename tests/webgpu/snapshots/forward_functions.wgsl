// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
fn score_mod_sin4(x: vec4<f32>) -> vec4<f32> {
  let j = round(x * 0.6366197723675814);
  let r = fma(-j, vec4<f32>(7.549789954891882e-8), fma(-j, vec4<f32>(0.0004837512969970703), fma(-j, vec4<f32>(1.5703125), x)));
  let y = r * r; let quadrant = vec4<i32>(j) + vec4<i32>(0);
  let s = fma(r * y, fma(fma(fma(vec4<f32>(0.0000027557319223985893), y, vec4<f32>(-0.0001984126984126984)), y, vec4<f32>(0.008333333333333333)), y, vec4<f32>(-0.16666666666666666)), r);
  let c = fma(fma(fma(fma(fma(vec4<f32>(-2.755731922398589e-7), y, vec4<f32>(0.0000248015873015873)), y, vec4<f32>(-0.001388888888888889)), y, vec4<f32>(0.041666666666666664)), y, vec4<f32>(-0.5)), y, vec4<f32>(1));
  let chosen = select(s, c, (quadrant & vec4<i32>(1)) == vec4<i32>(1));
  return select(chosen, -chosen, (quadrant & vec4<i32>(2)) == vec4<i32>(2));
}
fn score_mod_query_0(batch: u32, head: u32, query: u32, offset: i32) -> i32 {
  let n0 = i32(query) + (offset + i32(U.key_begin));
  return n0;
}
fn score_mod_key_0(batch: u32, key: vec4<u32>) -> vec4<i32> {
  let n0 = vec4<i32>(key + vec4<u32>(U.key_begin));
  return n0;
}
fn score_mod_key_1(batch: u32, key: vec4<u32>) -> vec4<bool> {
  let n0 = vec4<i32>(key + vec4<u32>(U.key_begin));
  let n1 = n0 < vec4<i32>(i32(3));
  return n1;
}
fn score_mod_key_2(batch: u32, key: vec4<u32>) -> vec4<bool> {
  let n0 = vec4<i32>(key + vec4<u32>(U.key_begin));
  let n1 = n0 >= vec4<i32>(i32(3));
  return n1;
}
fn score_mod_value(s: vec4<f32>, q0: i32, k0: vec4<i32>, k1: vec4<bool>, k2: vec4<bool>) -> vec4<f32> {
  let n0 = s;
  let n1 = -n0;
  let n2 = vec4<i32>(q0) - k0;
  let n3 = vec4<f32>(n2);
  let n4 = n3 * vec4<f32>(0.125f);
  let n5 = score_mod_sin4(n4);
  let n6 = n0 * n5;
  let n7 = n5 * n5;
  let n8 = n6 - n7;
  let n9 = select(n8, n1, k1);
  return n9;
}
fn score_mod_slope(q0: i32, k0: vec4<i32>, k1: vec4<bool>, k2: vec4<bool>) -> vec4<f32> {
  let n0 = vec4<i32>(q0) - k0;
  let n1 = vec4<f32>(n0);
  let n2 = n1 * vec4<f32>(0.125f);
  let n3 = score_mod_sin4(n2);
  let n4 = select(vec4<f32>((-1.0f)), n3, k2);
  return n4;
}
fn mask_mod_int1(at: i32) -> i32 {
  return bitcast<i32>(schedule[u32(at)]);
}
fn mask_mod_int4(at: vec4<i32>) -> vec4<i32> {
  return bitcast<vec4<i32>>(vec4<u32>(schedule[u32(at.x)], schedule[u32(at.y)], schedule[u32(at.z)], schedule[u32(at.w)]));
}
fn mask_mod_query_0(batch: u32, head: u32, query: u32, offset: i32) -> i32 {
  let n0 = i32(query + U.query_begin);
  let n1 = mask_mod_int1(i32(U.mask_mod_at + U.batch + 0u) + n0);
  return n1;
}
fn mask_mod_key_0(batch: u32, key: vec4<u32>) -> vec4<i32> {
  let n0 = vec4<i32>(key + vec4<u32>(U.key_begin));
  let n1 = mask_mod_int4(vec4<i32>(i32(U.mask_mod_at + U.batch + 0u)) + n0);
  return n1;
}
fn mask_mod_sees(q0: i32, k0: vec4<i32>) -> vec4<bool> {
  let n0 = vec4<i32>(q0) == k0;
  return n0;
}
fn seen_bits(word: u32) -> u32 { return schedule[U.verdicts_at + word] & 0x55555555u; }
fn next_seen(word: u32, tile: u32, tiles: u32) -> u32 {
  var t = tile;
  while (t < tiles) {
    let bits = seen_bits(word + t / 16u) >> (2u * (t % 16u));
    if (bits != 0u) { return t + countTrailingZeros(bits) / 2u; }
    t = (t / 16u + 1u) * 16u;
  }
  return tiles;
}
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
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> rm: array<array<array<f32, 3>, 4>, 2>;
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
  let score_mod_x0_q0 = score_mod_query_0(batch, head0, query0, offset);
  let mask_mod_x0_q0 = mask_mod_query_0(batch, head0, query0, offset);
  let score_mod_x0_q1 = score_mod_query_0(batch, head1, query1, offset);
  let mask_mod_x0_q1 = mask_mod_query_0(batch, head1, query1, offset);
  let score_mod_x0_q2 = score_mod_query_0(batch, head2, query2, offset);
  let mask_mod_x0_q2 = mask_mod_query_0(batch, head2, query2, offset);
  let score_mod_x0_q3 = score_mod_query_0(batch, head3, query3, offset);
  let mask_mod_x0_q3 = mask_mod_query_0(batch, head3, query3, offset);
  var o0_0 = vec4<f32>(0.0);
  var o1_0 = vec4<f32>(0.0);
  var o2_0 = vec4<f32>(0.0);
  var o3_0 = vec4<f32>(0.0);
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  let last = min(first + 8u, row_count) - 1u;
  let first_query = i32((first / U.group)); let last_query = i32((last / U.group));
  let staged_scale = U.scale;
  for (var k0 = begin; k0 < end; k0 += 8u) {
  k0 = begin + next_seen((U.item_base + wid.x) * U.verdict_words, (k0 - begin) / 8u, (end - begin + 7u) / 8u) * 8u;
  if (k0 >= end) { break; }
  let key_0 = vec4<u32>(k0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let score_mod_x0_k0 = score_mod_key_0(batch, key_0);
  let score_mod_x1_k0 = score_mod_key_1(batch, key_0);
  let score_mod_x2_k0 = score_mod_key_2(batch, key_0);
  let mask_mod_x0_k0 = mask_mod_key_0(batch, key_0);
  let tile = (k0 - begin) / 8u;
  let verdict_word = (U.item_base + wid.x) * U.verdict_words + tile / 16u;
  let verdict_bit = 2u * (tile % 16u);
  let verdict_mask_mod = (schedule[U.verdicts_at + verdict_word] >> verdict_bit) & 3u;
  var seen0_0 = (key_0 < select(vec4<u32>(0u), vec4<u32>(end), row0 < row_count));
  if (verdict_mask_mod == 3u) { seen0_0 = seen0_0 & mask_mod_sees(mask_mod_x0_q0, mask_mod_x0_k0); }
  var seen1_0 = (key_0 < select(vec4<u32>(0u), vec4<u32>(end), row1 < row_count));
  if (verdict_mask_mod == 3u) { seen1_0 = seen1_0 & mask_mod_sees(mask_mod_x0_q1, mask_mod_x0_k0); }
  var seen2_0 = (key_0 < select(vec4<u32>(0u), vec4<u32>(end), row2 < row_count));
  if (verdict_mask_mod == 3u) { seen2_0 = seen2_0 & mask_mod_sees(mask_mod_x0_q2, mask_mod_x0_k0); }
  var seen3_0 = (key_0 < select(vec4<u32>(0u), vec4<u32>(end), row3 < row_count));
  if (verdict_mask_mod == 3u) { seen3_0 = seen3_0 & mask_mod_sees(mask_mod_x0_q3, mask_mod_x0_k0); }
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
  // S = features(S)
  {
    s0_0 = score_mod_value(s0_0, score_mod_x0_q0, score_mod_x0_k0, score_mod_x1_k0, score_mod_x2_k0);
    let hide = (!seen0_0);
    s0_0 = select(s0_0, vec4<f32>(HIDDEN), hide);
  }
  {
    s1_0 = score_mod_value(s1_0, score_mod_x0_q1, score_mod_x0_k0, score_mod_x1_k0, score_mod_x2_k0);
    let hide = (!seen1_0);
    s1_0 = select(s1_0, vec4<f32>(HIDDEN), hide);
  }
  {
    s2_0 = score_mod_value(s2_0, score_mod_x0_q2, score_mod_x0_k0, score_mod_x1_k0, score_mod_x2_k0);
    let hide = (!seen2_0);
    s2_0 = select(s2_0, vec4<f32>(HIDDEN), hide);
  }
  {
    s3_0 = score_mod_value(s3_0, score_mod_x0_q3, score_mod_x0_k0, score_mod_x1_k0, score_mod_x2_k0);
    let hide = (!seen3_0);
    s3_0 = select(s3_0, vec4<f32>(HIDDEN), hide);
  }
  // hide pairs outside the band
  if (k0 + 8u > end || i32(k0) + 7 > first_query + high || i32(k0) < last_query + low) {
    let hi0 = min(i32(end) - 1, i32(query0) + high); let lo0 = i32(query0) + low;
    s0_0 = select(s0_0, vec4<f32>(HIDDEN), (vec4<i32>(key_0) > vec4<i32>(hi0)) | (vec4<i32>(key_0) < vec4<i32>(lo0)));
    let hi1 = min(i32(end) - 1, i32(query1) + high); let lo1 = i32(query1) + low;
    s1_0 = select(s1_0, vec4<f32>(HIDDEN), (vec4<i32>(key_0) > vec4<i32>(hi1)) | (vec4<i32>(key_0) < vec4<i32>(lo1)));
    let hi2 = min(i32(end) - 1, i32(query2) + high); let lo2 = i32(query2) + low;
    s2_0 = select(s2_0, vec4<f32>(HIDDEN), (vec4<i32>(key_0) > vec4<i32>(hi2)) | (vec4<i32>(key_0) < vec4<i32>(lo2)));
    let hi3 = min(i32(end) - 1, i32(query3) + high); let lo3 = i32(query3) + low;
    s3_0 = select(s3_0, vec4<f32>(HIDDEN), (vec4<i32>(key_0) > vec4<i32>(hi3)) | (vec4<i32>(key_0) < vec4<i32>(lo3)));
  }
  // m' = max(m, rowmax S)
  rm[ty][0][tx] = max(m0, max(max(s0_0.x, s0_0.y), max(s0_0.z, s0_0.w)));
  rm[ty][1][tx] = max(m1, max(max(s1_0.x, s1_0.y), max(s1_0.z, s1_0.w)));
  rm[ty][2][tx] = max(m2, max(max(s2_0.x, s2_0.y), max(s2_0.z, s2_0.w)));
  rm[ty][3][tx] = max(m3, max(max(s3_0.x, s3_0.y), max(s3_0.z, s3_0.w)));
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
  // P = exp(S - m'), l = l exp(m - m') + rowsum P, O = O exp(m - m')
  { let a = exp2((m0 - n0) * 1.4426950408889634); m0 = n0; l0 *= a;
    s0_0 = exp2((s0_0 - vec4<f32>(n0)) * 1.4426950408889634); l0 += (s0_0.x + s0_0.y) + (s0_0.z + s0_0.w);
    o0_0 *= a;
  }
  { let a = exp2((m1 - n1) * 1.4426950408889634); m1 = n1; l1 *= a;
    s1_0 = exp2((s1_0 - vec4<f32>(n1)) * 1.4426950408889634); l1 += (s1_0.x + s1_0.y) + (s1_0.z + s1_0.w);
    o1_0 *= a;
  }
  { let a = exp2((m2 - n2) * 1.4426950408889634); m2 = n2; l2 *= a;
    s2_0 = exp2((s2_0 - vec4<f32>(n2)) * 1.4426950408889634); l2 += (s2_0.x + s2_0.y) + (s2_0.z + s2_0.w);
    o2_0 *= a;
  }
  { let a = exp2((m3 - n3) * 1.4426950408889634); m3 = n3; l3 *= a;
    s3_0 = exp2((s3_0 - vec4<f32>(n3)) * 1.4426950408889634); l3 += (s3_0.x + s3_0.y) + (s3_0.z + s3_0.w);
    o3_0 *= a;
  }
  // O += P V
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(s0_0.x, s1_0.x, s2_0.x, s3_0.x);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(s0_0.y, s1_0.y, s2_0.y, s3_0.y);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = ((block + 0u) + stage_column) <= last_column; let from_column = min(((block + 0u) + stage_column), last_column);
    let from0 = k0 + 0u + stage_row; let x0 = load_v(v_row(batch, kv_head, min(from0, last_row)), from_column);
    let from1 = k0 + 2u + stage_row; let x1 = load_v(v_row(batch, kv_head, min(from1, last_row)), from_column);
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      o0_0 = fma(vec4<f32>(a0.x), b0, o0_0);
      o1_0 = fma(vec4<f32>(a0.y), b0, o1_0);
      o2_0 = fma(vec4<f32>(a0.z), b0, o2_0);
      o3_0 = fma(vec4<f32>(a0.w), b0, o3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      o0_0 = fma(vec4<f32>(a0.x), b0, o0_0);
      o1_0 = fma(vec4<f32>(a0.y), b0, o1_0);
      o2_0 = fma(vec4<f32>(a0.z), b0, o2_0);
      o3_0 = fma(vec4<f32>(a0.w), b0, o3_0);
    }
  }
  workgroupBarrier();
  rt[(tx + 0u) / 2u][(tx + 0u) % 2u][ty * 1u + 0u] = vec4<f32>(s0_0.z, s1_0.z, s2_0.z, s3_0.z);
  rt[(tx + 2u) / 2u][(tx + 2u) % 2u][ty * 1u + 0u] = vec4<f32>(s0_0.w, s1_0.w, s2_0.w, s3_0.w);
  {
    let last_row = max(end, 1u) - 1u; let last_column = ((U.value_dim + 3u) >> 2u) - 1u;
    let inside = ((block + 0u) + stage_column) <= last_column; let from_column = min(((block + 0u) + stage_column), last_column);
    let from0 = k0 + 4u + stage_row; let x0 = load_v(v_row(batch, kv_head, min(from0, last_row)), from_column);
    let from1 = k0 + 6u + stage_row; let x1 = load_v(v_row(batch, kv_head, min(from1, last_row)), from_column);
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = select(vec4<f32>(0.0), x0, inside & (from0 < end));
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = select(vec4<f32>(0.0), x1, inside & (from1 < end));
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x++) {
    {
      let a0 = rt[x][0][ty * 1u + 0u];
      let b0 = ct[x][0][tx + 0u];
      o0_0 = fma(vec4<f32>(a0.x), b0, o0_0);
      o1_0 = fma(vec4<f32>(a0.y), b0, o1_0);
      o2_0 = fma(vec4<f32>(a0.z), b0, o2_0);
      o3_0 = fma(vec4<f32>(a0.w), b0, o3_0);
    }
    {
      let a0 = rt[x][1][ty * 1u + 0u];
      let b0 = ct[x][1][tx + 0u];
      o0_0 = fma(vec4<f32>(a0.x), b0, o0_0);
      o1_0 = fma(vec4<f32>(a0.y), b0, o1_0);
      o2_0 = fma(vec4<f32>(a0.z), b0, o2_0);
      o3_0 = fma(vec4<f32>(a0.w), b0, o3_0);
    }
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
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head0, query0) + slot * U.split_rows * U.value_dim;
    store_out(at, block + tx + 0u, o0_0 * inverse);
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head0, query0) + slot * U.split_rows] = select(m0 + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
    }
  }
  if (row1 < row_count) {
    var l = 0.0;
    l += rm[ty][1][0];
    l += rm[ty][1][1];
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head1, query1) + slot * U.split_rows * U.value_dim;
    store_out(at, block + tx + 0u, o1_0 * inverse);
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head1, query1) + slot * U.split_rows] = select(m1 + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
    }
  }
  if (row2 < row_count) {
    var l = 0.0;
    l += rm[ty][2][0];
    l += rm[ty][2][1];
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head2, query2) + slot * U.split_rows * U.value_dim;
    store_out(at, block + tx + 0u, o2_0 * inverse);
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head2, query2) + slot * U.split_rows] = select(m2 + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
    }
  }
  if (row3 < row_count) {
    var l = 0.0;
    l += rm[ty][3][0];
    l += rm[ty][3][1];
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head3, query3) + slot * U.split_rows * U.value_dim;
    store_out(at, block + tx + 0u, o3_0 * inverse);
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head3, query3) + slot * U.split_rows] = select(m3 + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
    }
  }
}
