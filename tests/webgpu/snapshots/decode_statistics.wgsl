// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
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
var<workgroup> qs: array<array<vec4<f32>, 2>, 2>;
var<workgroup> partial: array<array<array<f32, 3>, 8>, 2>;
var<workgroup> score: array<array<f32, 8>, 2>;
var<workgroup> weight: array<array<f32, 2>, 8>;
var<workgroup> alpha: array<array<f32, 2>, 4>;
var<workgroup> state: array<array<array<vec2<f32>, 1>, 4>, 2>;
var<workgroup> row_sums: array<array<array<vec4<f32>, 1>, 4>, 2>;
var<workgroup> sums: array<array<vec4<f32>, 2>, 4>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let item = (U.item_base + wid.x) * 8u;
  let batch = schedule[item]; let first = schedule[item + 1u];
  let begin = schedule[item + 2u]; let end = schedule[item + 3u];
  let low = bitcast<i32>(schedule[item + 4u]); let high = bitcast<i32>(schedule[item + 5u]);
  let limit = schedule[item + 6u]; let slot = schedule[item + 7u];
  let offset = bitcast<i32>(schedule[4u * batch + 3u]);
  let kv_head = wid.y; let row_count = U.length_q * U.group;
  let lane = li % 2u; let column = li % 2u; let group = li / 2u;
  for (var t = li; t < 4u; t += 8u) {
    let r = t / 2u; let c = t % 2u;
    qs[r][c] = load_q(q_row(batch, (kv_head * U.group + r % U.group), (r / U.group)), c) * U.scale;
  }
  var o0 = vec4<f32>(0.0);
  var o1 = vec4<f32>(0.0);
  for (var t = li; t < 8u; t += 8u) {
    let r = t / 4u; let head = (kv_head * U.group + r % U.group); var m = FLOOR; var l = 0.0;
    state[r][t / 1u % 4u][t % 1u] = vec2<f32>(m, l);
    row_sums[r][t / 1u % 4u][t % 1u] = vec4<f32>(0.0);
  }
  workgroupBarrier();
  for (var k0 = begin; k0 < end; k0 += 8u) {
  // partial = q . k
  for (var j = li / 2u; j < 8u; j += 8u) {
    let at0 = k_row(batch, kv_head, min(k0 + j, end - 1u));
    let at1 = k_row(batch, kv_head, min(k0 + j + 4u, end - 1u));
    var d0_0 = 0.0;
    var d0_1 = 0.0;
    var d1_0 = 0.0;
    var d1_1 = 0.0;
    {
      let x0 = load_k(at0, lane + 0u);
      let x1 = load_k(at1, lane + 0u);
      { let y = qs[0][lane + 0u];
        d0_0 = fma(x0.x, y.x, d0_0); d0_0 = fma(x0.y, y.y, d0_0); d0_0 = fma(x0.z, y.z, d0_0); d0_0 = fma(x0.w, y.w, d0_0);
        d0_1 = fma(x1.x, y.x, d0_1); d0_1 = fma(x1.y, y.y, d0_1); d0_1 = fma(x1.z, y.z, d0_1); d0_1 = fma(x1.w, y.w, d0_1);
      }
      { let y = qs[1][lane + 0u];
        d1_0 = fma(x0.x, y.x, d1_0); d1_0 = fma(x0.y, y.y, d1_0); d1_0 = fma(x0.z, y.z, d1_0); d1_0 = fma(x0.w, y.w, d1_0);
        d1_1 = fma(x1.x, y.x, d1_1); d1_1 = fma(x1.y, y.y, d1_1); d1_1 = fma(x1.z, y.z, d1_1); d1_1 = fma(x1.w, y.w, d1_1);
      }
    }
    partial[0][j][lane] = d0_0;
    partial[0][j + 4u][lane] = d0_1;
    partial[1][j][lane] = d1_0;
    partial[1][j + 4u][lane] = d1_1;
  }
  workgroupBarrier();
  // score = features(sum of partial)
  for (var t = li; t < 16u; t += 8u) {
    let r = t / 8u; let j = t % 8u; let key = k0 + j;
    let query = (r / U.group);
    var s = 0.0;
    s += partial[r][j][0];
    s += partial[r][j][1];
    let head = (kv_head * U.group + r % U.group);
    // hide pairs outside the band
    var hide = (i32(key) > min(i32(end) - 1, i32(query) + high)) | (i32(key) < i32(query) + low);
    score[r][j] = select(s, HIDDEN, hide);
  }
  workgroupBarrier();
  // P = exp(score - m), l += P
  for (var t = li; t < 8u; t += 8u) {
    let r = t / 4u; let g = t / 1u % 4u; let share = t % 1u;
    let old = state[r][g][share]; var n = old.x;
    for (var j = g; j < 8u; j += 8u) {
      n = max(n, score[r][j]);
      n = max(n, score[r][j + 4u]);
    }
    let a = exp2((old.x - n) * 1.4426950408889634); var l = old.y * a;
    var ps0 = 0.0; var top0 = 0.0; var pj0 = 0.0; var pairs0 = 0.0; ps0 = row_sums[r][g][share].x; top0 = row_sums[r][g][share].y; pj0 = row_sums[r][g][share].z; pairs0 = row_sums[r][g][share].w; ps0 = a * fma(old.x - n, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a;
    for (var j0 = g + share * 4u; j0 < 8u; j0 += 4u) {
      { let j = j0 + 0u; let p = exp2((score[r][j] - n) * 1.4426950408889634); l += p;
      ps0 = fma(p, max(score[r][j] - n, -200.0), ps0); top0 = max(top0, p);
      pj0 = fma(p, f32(k0 + j), pj0); pairs0 += p;
        weight[j][r] = p; }
    }
    state[r][g][share] = vec2<f32>(n, l);
    if (share == 0u) { alpha[g][r] = a; }
    row_sums[r][g][share] = vec4<f32>(ps0, top0, pj0, pairs0);
  }
  workgroupBarrier();
  // O += P v
  if (group < 4u) {
    o0 *= alpha[group][0];
    o1 *= alpha[group][1];
    for (var j = group; j < 8u && k0 + j < end; j += 8u) {
      let x0 = load_v(v_row(batch, kv_head, min(k0 + j, end - 1u)), column);
      let x1 = load_v(v_row(batch, kv_head, min(k0 + j + 4u, end - 1u)), column);
      o0 = fma(vec4<f32>(weight[j][0]), x0, o0);
      o1 = fma(vec4<f32>(weight[j][1]), x0, o1);
      o0 = fma(vec4<f32>(weight[j + 4u][0]), x1, o0);
      o1 = fma(vec4<f32>(weight[j + 4u][1]), x1, o1);
    }
  }
  }
  // merge the states of the key groups: out = O / l, lse = m + ln l
  workgroupBarrier();
  {
    var m = FLOOR;
    m = max(m, state[0][0][0].x);
    m = max(m, state[0][1][0].x);
    m = max(m, state[0][2][0].x);
    m = max(m, state[0][3][0].x);
    var l = 0.0;
    l += (state[0][0][0].y) * exp2((state[0][0][0].x - m) * 1.4426950408889634);
    l += (state[0][1][0].y) * exp2((state[0][1][0].x - m) * 1.4426950408889634);
    l += (state[0][2][0].y) * exp2((state[0][2][0].x - m) * 1.4426950408889634);
    l += (state[0][3][0].y) * exp2((state[0][3][0].x - m) * 1.4426950408889634);
    if (group < 4u) { sums[group][column] = o0 * exp2((state[0][group][0].x - m) * 1.4426950408889634); }
    workgroupBarrier();
    if (li < 2u) {
      var x = sums[0][li];
      x += sums[1][li];
      x += sums[2][li];
      x += sums[3][li];
      let head = (kv_head * U.group + 0u % U.group); let query = (0u / U.group);
      store_out(out_row(batch, head, query) + slot * U.split_rows * U.value_dim, li, x * select(1.0 / l, 0.0, l == 0.0));
      if (li == 0u) {
        lse[lse_row(batch, head, query) + slot * U.split_rows] = select(m + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
      }
    }
    if (li == 0u) {
      var x = vec4<f32>(0.0);
      { let part = row_sums[0][0][0]; let old = state[0][0][0].x; let a = exp2((old - m) * 1.4426950408889634);
        var ps0 = part.x; var top0 = part.y; var pj0 = part.z; var pairs0 = part.w;
        ps0 = a * fma(old - m, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a; x = joined(x, vec4<f32>(ps0, top0, pj0, pairs0)); }
      { let part = row_sums[0][1][0]; let old = state[0][1][0].x; let a = exp2((old - m) * 1.4426950408889634);
        var ps0 = part.x; var top0 = part.y; var pj0 = part.z; var pairs0 = part.w;
        ps0 = a * fma(old - m, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a; x = joined(x, vec4<f32>(ps0, top0, pj0, pairs0)); }
      { let part = row_sums[0][2][0]; let old = state[0][2][0].x; let a = exp2((old - m) * 1.4426950408889634);
        var ps0 = part.x; var top0 = part.y; var pj0 = part.z; var pairs0 = part.w;
        ps0 = a * fma(old - m, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a; x = joined(x, vec4<f32>(ps0, top0, pj0, pairs0)); }
      { let part = row_sums[0][3][0]; let old = state[0][3][0].x; let a = exp2((old - m) * 1.4426950408889634);
        var ps0 = part.x; var top0 = part.y; var pj0 = part.z; var pairs0 = part.w;
        ps0 = a * fma(old - m, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a; x = joined(x, vec4<f32>(ps0, top0, pj0, pairs0)); }
      let pj = fma(f32(U.key_begin), x.w, x.z); // keys count in the whole sequence
      row_statistics[lse_row(batch, (kv_head * U.group + 0u % U.group), (0u / U.group)) + slot * U.split_rows] = row_of(x.x, x.y, pj, x.w, l);
    }
  }
  workgroupBarrier();
  {
    var m = FLOOR;
    m = max(m, state[1][0][0].x);
    m = max(m, state[1][1][0].x);
    m = max(m, state[1][2][0].x);
    m = max(m, state[1][3][0].x);
    var l = 0.0;
    l += (state[1][0][0].y) * exp2((state[1][0][0].x - m) * 1.4426950408889634);
    l += (state[1][1][0].y) * exp2((state[1][1][0].x - m) * 1.4426950408889634);
    l += (state[1][2][0].y) * exp2((state[1][2][0].x - m) * 1.4426950408889634);
    l += (state[1][3][0].y) * exp2((state[1][3][0].x - m) * 1.4426950408889634);
    if (group < 4u) { sums[group][column] = o1 * exp2((state[1][group][0].x - m) * 1.4426950408889634); }
    workgroupBarrier();
    if (li < 2u) {
      var x = sums[0][li];
      x += sums[1][li];
      x += sums[2][li];
      x += sums[3][li];
      let head = (kv_head * U.group + 1u % U.group); let query = (1u / U.group);
      store_out(out_row(batch, head, query) + slot * U.split_rows * U.value_dim, li, x * select(1.0 / l, 0.0, l == 0.0));
      if (li == 0u) {
        lse[lse_row(batch, head, query) + slot * U.split_rows] = select(m + log2(l) * 0.6931471805599453, U.neg_inf, l == 0.0);
      }
    }
    if (li == 0u) {
      var x = vec4<f32>(0.0);
      { let part = row_sums[1][0][0]; let old = state[1][0][0].x; let a = exp2((old - m) * 1.4426950408889634);
        var ps0 = part.x; var top0 = part.y; var pj0 = part.z; var pairs0 = part.w;
        ps0 = a * fma(old - m, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a; x = joined(x, vec4<f32>(ps0, top0, pj0, pairs0)); }
      { let part = row_sums[1][1][0]; let old = state[1][1][0].x; let a = exp2((old - m) * 1.4426950408889634);
        var ps0 = part.x; var top0 = part.y; var pj0 = part.z; var pairs0 = part.w;
        ps0 = a * fma(old - m, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a; x = joined(x, vec4<f32>(ps0, top0, pj0, pairs0)); }
      { let part = row_sums[1][2][0]; let old = state[1][2][0].x; let a = exp2((old - m) * 1.4426950408889634);
        var ps0 = part.x; var top0 = part.y; var pj0 = part.z; var pairs0 = part.w;
        ps0 = a * fma(old - m, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a; x = joined(x, vec4<f32>(ps0, top0, pj0, pairs0)); }
      { let part = row_sums[1][3][0]; let old = state[1][3][0].x; let a = exp2((old - m) * 1.4426950408889634);
        var ps0 = part.x; var top0 = part.y; var pj0 = part.z; var pairs0 = part.w;
        ps0 = a * fma(old - m, pairs0, ps0); top0 *= a; pj0 *= a; pairs0 *= a; x = joined(x, vec4<f32>(ps0, top0, pj0, pairs0)); }
      let pj = fma(f32(U.key_begin), x.w, x.z); // keys count in the whole sequence
      row_statistics[lse_row(batch, (kv_head * U.group + 1u % U.group), (1u / U.group)) + slot * U.split_rows] = row_of(x.x, x.y, pj, x.w, l);
    }
  }
}
