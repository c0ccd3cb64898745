// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
@group(0) @binding(3) var<storage, read> k: array<u32>;
fn load_k(at: u32, c: u32) -> vec4<f32> {
  let w = k[(at >> 2u) + 1u + c]; let bytes = bitcast<vec4<i32>>(vec4<u32>(w << 24u, w << 16u, w << 8u, w));
  return vec4<f32>(bytes >> vec4<u32>(24u)) * bitcast<f32>(k[at >> 2u]);
}
@group(0) @binding(4) var<storage, read> v: array<u32>;
fn load_v(at: u32, c: u32) -> vec4<f32> {
  let w = v[(at >> 2u) + 1u + c]; let bytes = bitcast<vec4<i32>>(vec4<u32>(w << 24u, w << 16u, w << 8u, w));
  return vec4<f32>(bytes >> vec4<u32>(24u)) * bitcast<f32>(v[at >> 2u]);
}
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
fn store_out(at: u32, c: u32, x: vec4<f32>) {
  if (4u * c < U.value_dim) { out[(at >> 2u) + c] = x; }
}
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  let row = U.first_row + i; let page = schedule[U.pages_at + b * U.page_columns + (row >> U.page_shift)];
  return U.k_at + page * U.k_batch + h * U.k_head + (row & ((1u << U.page_shift) - 1u)) * U.k_row;
}
fn v_row(b: u32, h: u32, i: u32) -> u32 {
  let row = U.first_row + i; let page = schedule[U.pages_at + b * U.page_columns + (row / U.page_rows)];
  return U.v_at + page * U.v_batch + h * U.v_head + row % U.page_rows * U.v_row;
}
fn out_row(b: u32, h: u32, i: u32) -> u32 {
  return U.out_at + b * U.out_batch + h * U.out_head + i * U.out_row;
}
fn lse_row(b: u32, h: u32, i: u32) -> u32 {
  return U.lse_at + b * U.lse_batch + h * U.lse_head + i * U.lse_row;
}
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 1>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 4>;
var<workgroup> rm: array<array<array<f32, 3>, 1>, 2>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let item = (U.item_base + wid.x) * 8u;
  let batch = schedule[item]; let first = schedule[item + 1u];
  let begin = schedule[item + 2u]; let end = schedule[item + 3u];
  let low = bitcast<i32>(schedule[item + 4u]); let high = bitcast<i32>(schedule[item + 5u]);
  let limit = schedule[item + 6u]; let slot = schedule[item + 7u];
  let offset = bitcast<i32>(schedule[4u * batch + 3u]);
  let kv_head = wid.y; let row_count = U.length_q * U.group;
  let block = wid.z * 2u;
  let row0 = first + ty * 1u + 0u; let query0 = (row0 / U.group);
  let head0 = (kv_head * U.group + row0 % U.group);
  var m0 = FLOOR; var l0 = 0.0;
  var o0_0 = vec4<f32>(0.0);
  var s0_0 = vec4<f32>(0.0);
  let last = min(first + 2u, row_count) - 1u;
  let first_query = i32((first / U.group)); let last_query = i32((last / U.group));
  let staged_scale = U.scale;
  for (var k0 = begin; k0 < end; k0 += 8u) {
  let key_0 = vec4<u32>(k0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  // S = Q K^T
  s0_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 2u) {
  workgroupBarrier();
  {
    let inside = c0 + stage_column < ((U.head_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = first + 0u + stage_row;
    if (inside && from0 < row_count) { x0 = load_q(q_row(batch, (kv_head * U.group + from0 % U.group), (from0 / U.group)), c0 + stage_column) * staged_scale; }
    rt[(stage_row) / 1u][(stage_row) % 1u][stage_column] = x0;
  }
  {
    let inside = c0 + stage_column < ((U.head_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = k0 + 0u + stage_row;
    if (inside && from0 < end) { x0 = load_k(k_row(batch, kv_head, from0), c0 + stage_column); }
    var x1 = vec4<f32>(0.0); let from1 = k0 + 2u + stage_row;
    if (inside && from1 < end) { x1 = load_k(k_row(batch, kv_head, from1), c0 + stage_column); }
    var x2 = vec4<f32>(0.0); let from2 = k0 + 4u + stage_row;
    if (inside && from2 < end) { x2 = load_k(k_row(batch, kv_head, from2), c0 + stage_column); }
    var x3 = vec4<f32>(0.0); let from3 = k0 + 6u + stage_row;
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
  // hide pairs outside the band
  if (k0 + 8u > end || i32(k0) + 7 > first_query + high || i32(k0) < last_query + low) {
    let hi0 = min(i32(end) - 1, i32(query0) + high); let lo0 = i32(query0) + low;
    s0_0 = select(s0_0, vec4<f32>(HIDDEN), (vec4<i32>(key_0) > vec4<i32>(hi0)) | (vec4<i32>(key_0) < vec4<i32>(lo0)));
  }
  // m' = max(m, rowmax S)
  rm[ty][0][tx] = max(m0, max(max(s0_0.x, s0_0.y), max(s0_0.z, s0_0.w)));
  workgroupBarrier(); // the chunks of Q and K are free as well
  var n0 = m0;
  n0 = max(n0, rm[ty][0][0]);
  n0 = max(n0, rm[ty][0][1]);
  // P = exp(S - m'), l = l exp(m - m') + rowsum P, O = O exp(m - m')
  { let a = exp2((m0 - n0) * 1.4426950408889634); m0 = n0; l0 *= a;
    s0_0 = exp2((s0_0 - vec4<f32>(n0)) * 1.4426950408889634); l0 += (s0_0.x + s0_0.y) + (s0_0.z + s0_0.w);
    o0_0 *= a;
  }
  // O += P V
  workgroupBarrier();
  rt[ty][0][tx + 0u] = s0_0;
  {
    let inside = (block + 0u) + stage_column < ((U.value_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = k0 + 0u + stage_row;
    if (inside && from0 < end) { x0 = load_v(v_row(batch, kv_head, from0), (block + 0u) + stage_column); }
    var x1 = vec4<f32>(0.0); let from1 = k0 + 2u + stage_row;
    if (inside && from1 < end) { x1 = load_v(v_row(batch, kv_head, from1), (block + 0u) + stage_column); }
    var x2 = vec4<f32>(0.0); let from2 = k0 + 4u + stage_row;
    if (inside && from2 < end) { x2 = load_v(v_row(batch, kv_head, from2), (block + 0u) + stage_column); }
    var x3 = vec4<f32>(0.0); let from3 = k0 + 6u + stage_row;
    if (inside && from3 < end) { x3 = load_v(v_row(batch, kv_head, from3), (block + 0u) + stage_column); }
    ct[(stage_row) / 2u][(stage_row) % 2u][stage_column] = x0;
    ct[(stage_row + 2u) / 2u][(stage_row + 2u) % 2u][stage_column] = x1;
    ct[(stage_row + 4u) / 2u][(stage_row + 4u) % 2u][stage_column] = x2;
    ct[(stage_row + 6u) / 2u][(stage_row + 6u) % 2u][stage_column] = x3;
  }
  workgroupBarrier();
  for (var x = 0u; x < 2u; x += 1u) {
    {
      let b0_0 = ct[0][x][tx + 0u];
      let b1_0 = ct[1][x][tx + 0u];
      let b2_0 = ct[2][x][tx + 0u];
      let b3_0 = ct[3][x][tx + 0u];
      let p0_0 = rt[ty][0][x + 0u];
      o0_0 = fma(vec4<f32>(p0_0.x), b0_0, o0_0);
      o0_0 = fma(vec4<f32>(p0_0.y), b1_0, o0_0);
      o0_0 = fma(vec4<f32>(p0_0.z), b2_0, o0_0);
      o0_0 = fma(vec4<f32>(p0_0.w), b3_0, o0_0);
    }
  }
  }
  // out = O / l, lse = m + ln l; a row's sum lies with its threads
  workgroupBarrier();
  rm[ty][0][tx] = l0;
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
}
