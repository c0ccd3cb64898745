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
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 2>;
@group(0) @binding(34) var<storage, read_write> row_statistics: array<vec4<f32>>;
fn row_of(ps: f32, top: f32, pj: f32, pairs: f32, l: f32) -> vec4<f32> {
  if (l == 0.0) { return vec4<f32>(0.0); }
  let f = 1.0 / l;
  return vec4<f32>(max(0.0, f * fma(pairs, log2(l) * 0.6931471805599453, -ps)), min(1.0, f * top), f * pj, f * pairs);
}
fn weighted(x: vec4<f32>, w: f32) -> vec4<f32> {
  if (w == 0.0) { return vec4<f32>(0.0); }
  return w * vec4<f32>(fma(-x.w, log2(w) * 0.6931471805599453, x.x), x.y, x.z, x.w);
}
fn joined(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(x.x + y.x, max(x.y, y.y), x.z + y.z, x.w + y.w);
}
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
  var ps0 = 0.0; var top0 = 0.0; var pj0 = 0.0; var pairs0 = 0.0;
  let row1 = first + ty * 4u + 1u; let query1 = (row1 / U.group);
  let head1 = (kv_head * U.group + row1 % U.group);
  var m1 = FLOOR; var l1 = 0.0;
  var ps1 = 0.0; var top1 = 0.0; var pj1 = 0.0; var pairs1 = 0.0;
  let row2 = first + ty * 4u + 2u; let query2 = (row2 / U.group);
  let head2 = (kv_head * U.group + row2 % U.group);
  var m2 = FLOOR; var l2 = 0.0;
  var ps2 = 0.0; var top2 = 0.0; var pj2 = 0.0; var pairs2 = 0.0;
  let row3 = first + ty * 4u + 3u; let query3 = (row3 / U.group);
  let head3 = (kv_head * U.group + row3 % U.group);
  var m3 = FLOOR; var l3 = 0.0;
  var ps3 = 0.0; var top3 = 0.0; var pj3 = 0.0; var pairs3 = 0.0;
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
  let key_0 = vec4<u32>(k0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
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
  { let a = exp2((m0 - n0) * 1.4426950408889634); ps0 = a * fma(m0 - n0, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a; m0 = n0; l0 *= a;
    let x0 = s0_0 - vec4<f32>(n0);
    s0_0 = exp2((s0_0 - vec4<f32>(n0)) * 1.4426950408889634); l0 += (s0_0.x + s0_0.y) + (s0_0.z + s0_0.w);
    ps0 += dot(s0_0, max(x0, vec4<f32>(-200.0))); pj0 += dot(s0_0, vec4<f32>(key_0)); pairs0 += (s0_0.x + s0_0.y) + (s0_0.z + s0_0.w);
    top0 = max(max(top0, max(s0_0.x, s0_0.y)), max(s0_0.z, s0_0.w));
    o0_0 *= a;
  }
  { let a = exp2((m1 - n1) * 1.4426950408889634); ps1 = a * fma(m1 - n1, pairs1, ps1); top1 *= a; pj1 *= a; pairs1 *= a; m1 = n1; l1 *= a;
    let x0 = s1_0 - vec4<f32>(n1);
    s1_0 = exp2((s1_0 - vec4<f32>(n1)) * 1.4426950408889634); l1 += (s1_0.x + s1_0.y) + (s1_0.z + s1_0.w);
    ps1 += dot(s1_0, max(x0, vec4<f32>(-200.0))); pj1 += dot(s1_0, vec4<f32>(key_0)); pairs1 += (s1_0.x + s1_0.y) + (s1_0.z + s1_0.w);
    top1 = max(max(top1, max(s1_0.x, s1_0.y)), max(s1_0.z, s1_0.w));
    o1_0 *= a;
  }
  { let a = exp2((m2 - n2) * 1.4426950408889634); ps2 = a * fma(m2 - n2, pairs2, ps2); top2 *= a; pj2 *= a; pairs2 *= a; m2 = n2; l2 *= a;
    let x0 = s2_0 - vec4<f32>(n2);
    s2_0 = exp2((s2_0 - vec4<f32>(n2)) * 1.4426950408889634); l2 += (s2_0.x + s2_0.y) + (s2_0.z + s2_0.w);
    ps2 += dot(s2_0, max(x0, vec4<f32>(-200.0))); pj2 += dot(s2_0, vec4<f32>(key_0)); pairs2 += (s2_0.x + s2_0.y) + (s2_0.z + s2_0.w);
    top2 = max(max(top2, max(s2_0.x, s2_0.y)), max(s2_0.z, s2_0.w));
    o2_0 *= a;
  }
  { let a = exp2((m3 - n3) * 1.4426950408889634); ps3 = a * fma(m3 - n3, pairs3, ps3); top3 *= a; pj3 *= a; pairs3 *= a; m3 = n3; l3 *= a;
    let x0 = s3_0 - vec4<f32>(n3);
    s3_0 = exp2((s3_0 - vec4<f32>(n3)) * 1.4426950408889634); l3 += (s3_0.x + s3_0.y) + (s3_0.z + s3_0.w);
    ps3 += dot(s3_0, max(x0, vec4<f32>(-200.0))); pj3 += dot(s3_0, vec4<f32>(key_0)); pairs3 += (s3_0.x + s3_0.y) + (s3_0.z + s3_0.w);
    top3 = max(max(top3, max(s3_0.x, s3_0.y)), max(s3_0.z, s3_0.w));
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
  var l_0 = 0.0;
  var l_1 = 0.0;
  var l_2 = 0.0;
  var l_3 = 0.0;
  if (row0 < row_count) {
    var l = 0.0;
    l += rm[ty][0][0];
    l += rm[ty][0][1];
    let inverse = select(1.0 / l, 0.0, l == 0.0);
    let at = out_row(batch, head0, query0) + slot * U.split_rows * U.value_dim;
    store_out(at, block + tx + 0u, o0_0 * inverse);
    l_0 = l;
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
    l_1 = l;
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
    l_2 = l;
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
    l_3 = l;
    if (tx == 0u && wid.z == 0u) {
      lse[lse_row(batch, head3, query3) + slot * U.split_rows] = select(m3 + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
    }
  }
  // entropy, largest probability, expected key
  workgroupBarrier();
  rm[ty][0][tx] = ps0; var all_ps0 = 0.0;
  rm[ty][1][tx] = ps1; var all_ps1 = 0.0;
  rm[ty][2][tx] = ps2; var all_ps2 = 0.0;
  rm[ty][3][tx] = ps3; var all_ps3 = 0.0;
  workgroupBarrier();
  all_ps0 += rm[ty][0][0];
  all_ps0 += rm[ty][0][1];
  all_ps1 += rm[ty][1][0];
  all_ps1 += rm[ty][1][1];
  all_ps2 += rm[ty][2][0];
  all_ps2 += rm[ty][2][1];
  all_ps3 += rm[ty][3][0];
  all_ps3 += rm[ty][3][1];
  workgroupBarrier();
  rm[ty][0][tx] = top0; var all_top0 = 0.0;
  rm[ty][1][tx] = top1; var all_top1 = 0.0;
  rm[ty][2][tx] = top2; var all_top2 = 0.0;
  rm[ty][3][tx] = top3; var all_top3 = 0.0;
  workgroupBarrier();
  all_top0 = max(all_top0, rm[ty][0][0]);
  all_top0 = max(all_top0, rm[ty][0][1]);
  all_top1 = max(all_top1, rm[ty][1][0]);
  all_top1 = max(all_top1, rm[ty][1][1]);
  all_top2 = max(all_top2, rm[ty][2][0]);
  all_top2 = max(all_top2, rm[ty][2][1]);
  all_top3 = max(all_top3, rm[ty][3][0]);
  all_top3 = max(all_top3, rm[ty][3][1]);
  workgroupBarrier();
  rm[ty][0][tx] = pj0; var all_pj0 = 0.0;
  rm[ty][1][tx] = pj1; var all_pj1 = 0.0;
  rm[ty][2][tx] = pj2; var all_pj2 = 0.0;
  rm[ty][3][tx] = pj3; var all_pj3 = 0.0;
  workgroupBarrier();
  all_pj0 += rm[ty][0][0];
  all_pj0 += rm[ty][0][1];
  all_pj1 += rm[ty][1][0];
  all_pj1 += rm[ty][1][1];
  all_pj2 += rm[ty][2][0];
  all_pj2 += rm[ty][2][1];
  all_pj3 += rm[ty][3][0];
  all_pj3 += rm[ty][3][1];
  workgroupBarrier();
  rm[ty][0][tx] = pairs0; var all_pairs0 = 0.0;
  rm[ty][1][tx] = pairs1; var all_pairs1 = 0.0;
  rm[ty][2][tx] = pairs2; var all_pairs2 = 0.0;
  rm[ty][3][tx] = pairs3; var all_pairs3 = 0.0;
  workgroupBarrier();
  all_pairs0 += rm[ty][0][0];
  all_pairs0 += rm[ty][0][1];
  all_pairs1 += rm[ty][1][0];
  all_pairs1 += rm[ty][1][1];
  all_pairs2 += rm[ty][2][0];
  all_pairs2 += rm[ty][2][1];
  all_pairs3 += rm[ty][3][0];
  all_pairs3 += rm[ty][3][1];
  if (row0 < row_count && tx == 0u && wid.z == 0u) {
    let pj = fma(f32(U.key_begin), all_pairs0, all_pj0); // keys count in the whole sequence
    row_statistics[lse_row(batch, head0, query0) + slot * U.split_rows] =
      row_of(all_ps0, all_top0, pj, all_pairs0, l_0);
  }
  if (row1 < row_count && tx == 0u && wid.z == 0u) {
    let pj = fma(f32(U.key_begin), all_pairs1, all_pj1); // keys count in the whole sequence
    row_statistics[lse_row(batch, head1, query1) + slot * U.split_rows] =
      row_of(all_ps1, all_top1, pj, all_pairs1, l_1);
  }
  if (row2 < row_count && tx == 0u && wid.z == 0u) {
    let pj = fma(f32(U.key_begin), all_pairs2, all_pj2); // keys count in the whole sequence
    row_statistics[lse_row(batch, head2, query2) + slot * U.split_rows] =
      row_of(all_ps2, all_top2, pj, all_pairs2, l_2);
  }
  if (row3 < row_count && tx == 0u && wid.z == 0u) {
    let pj = fma(f32(U.key_begin), all_pairs3, all_pj3); // keys count in the whole sequence
    row_statistics[lse_row(batch, head3, query3) + slot * U.split_rows] =
      row_of(all_ps3, all_top3, pj, all_pairs3, l_3);
  }
}
