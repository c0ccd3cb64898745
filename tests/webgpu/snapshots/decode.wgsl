// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
fn cap_tanh(x: f32) -> f32 {
  let t = exp2(abs(x) * -2.8853900817779268);
  let big = sign(x) * (1.0 - t) / (1.0 + t);
  let y = x * x;
  let small = x * (1.0 + y * (-0.33333333 + y * (0.13333333 + y * (-0.05396825 + y * 0.02186949))));
  return select(big, small, abs(x) < f32(0.25));
}
// d(s) / d(product): 1 - tanh^2, without the difference of near numbers when saturated
fn cap_slope(x: f32) -> f32 {
  let t = exp2(abs(x) * -2.8853900817779268); let u = 1.0 + t;
  return 4.0 * t / (u * u);
}
fn minus_slope(batch: u32, head: u32) -> f32 {
  return -bitcast<f32>(schedule[U.alibi_slopes_at + batch * U.alibi_slopes_batch + head * U.alibi_slopes_head]);
}
fn minus_slopes(batch: u32, head: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(minus_slope(batch, head.x), minus_slope(batch, head.y), minus_slope(batch, head.z), minus_slope(batch, head.w));
}
@group(0) @binding(13) var<storage, read> bias: array<f32>;
fn bias_at(i: u32) -> f32 { return bias[i]; }
fn bias_value(at: u32) -> f32 {
  return bias_at(at);
}
// minus infinity by its bits: WGSL has no literal for it
fn is_hole(b: f32) -> bool { return bitcast<u32>(b) == u32(0xff800000u); }
fn mask_byte(i: u32) -> bool { return ((schedule[i >> 2u] >> ((i & 3u) * 8u)) & 0xffu) != 0u; }
fn mask_sees(at: u32) -> bool { return mask_byte(at); }
fn sink_of(head: u32) -> f32 { return bitcast<f32>(schedule[U.sink_at + head * U.sink_head]); }
fn sink_logit(head: u32, split: u32) -> f32 {
  if (split > 0u || U.sink_at == 0u) { return U.neg_inf; }
  return sink_of(head);
}
// its share of the row: 0 where there is none, 1 where it is infinite and so all
fn sink_share(sink: f32, lse: f32, m: f32, log2l: f32) -> f32 {
  let bits = bitcast<u32>(sink);
  if (bits == 0xff800000u) { return 0.0; }
  if (bits == 0x7f800000u && bitcast<u32>(lse) == bits) { return 1.0; }
  return exp2(fma(sink - m, 1.4426950408889634, -log2l));
}
// infinities and NaN by their bits: compilers may assume that there are none
fn joining(logit: f32) -> f32 { return select(logit, HIDDEN, bitcast<u32>(logit) == 0xff800000u); }
// exp(logit - top); what is not finite stays so, and the row is repaired
fn joining_weight(logit: f32, top: f32) -> f32 {
  if ((bitcast<u32>(logit) & 0x7f800000u) == 0x7f800000u) { return logit; }
  return exp2((logit - top) * 1.4426950408889634);
}
// high and low word of a product
fn wide_product(a: u32, b: u32) -> vec2<u32> {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let middle = ah * bl + ((al * bl) >> 16u); let other = al * bh + (middle & 0xffffu);
  return vec2<u32>(ah * bh + (middle >> 16u) + (other >> 16u), a * b);
}
fn philox_round(x: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  let p = wide_product(x.x, 0xd2511f53u); let q = wide_product(x.z, 0xcd9e8d57u);
  return vec4<u32>(q.x ^ x.y ^ key.x, q.y, p.x ^ x.w ^ key.y, p.y);
}
fn dropout_kept(batch: u32, head: u32, query: u32, group: u32) -> u32 {
  var x = vec4<u32>(group, query, head, batch);
  var key = vec2<u32>(U.dropout_seed_low, U.dropout_seed_high);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  let least = vec4<u32>(U.dropout_threshold); let exchanged = (x << vec4<u32>(16u)) | (x >> vec4<u32>(16u));
  let bits = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), x >= least)
    | select(vec4<u32>(0u), vec4<u32>(16u, 32u, 64u, 128u), exchanged >= least);
  return bits.x | bits.y | bits.z | bits.w;
}
fn kept_one(batch: u32, head: u32, query: u32, key: u32) -> f32 {
  let key_in_call = U.key_begin + key; var z = 1.0;
  z *= select(0.0, U.dropout_scale, ((dropout_kept(U.batch_begin + batch, U.head_begin + head, U.query_begin + query, key_in_call / 8u) >> (key_in_call % 8u)) & 1u) == 1u);
  return z;
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
    qs[r][c] = load_q(q_row(batch, (kv_head * U.group + r % U.group), (r / U.group)), c) * (U.scale / U.softcap);
  }
  var o0 = vec4<f32>(0.0);
  var o1 = vec4<f32>(0.0);
  for (var t = li; t < 8u; t += 8u) {
    let r = t / 4u; let head = (kv_head * U.group + r % U.group); var m = FLOOR; var l = 0.0;
  { let s = joining(sink_logit(head, slot)); let top = max(m, s);
    l = l * exp2((m - top) * 1.4426950408889634) + select(0.0, joining_weight(s, top), t % 4u == 0u); m = top; }
    state[r][t / 1u % 4u][t % 1u] = vec2<f32>(m, l);
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
    // what operands hold for pairs outside could be anything
    if (!hide) {
      s = cap_tanh(s) * U.softcap;
      s = fma((minus_slope(batch, head)), abs((f32(i32(query) + offset)) - (f32(key))), s);
      let b = bias_value((U.bias_at + batch * U.bias_batch + head * U.bias_head + query * U.bias_row) + (key * U.bias_column));
      s += b;
      hide = hide | is_hole(b);
      hide = hide | !mask_sees((U.mask_at + batch * U.mask_batch + head * U.mask_head + query * U.mask_row) + (key * U.mask_column));
    }
    score[r][j] = select(s, HIDDEN, hide);
    partial[r][j][2] = kept_one(batch, head, query, key);
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
    for (var j0 = g + share * 4u; j0 < 8u; j0 += 8u) {
      { let j = j0 + 0u; let p = exp2((score[r][j] - n) * 1.4426950408889634); l += p;
        weight[j][r] = select(0.0, p * partial[r][j][2], partial[r][j][2] > 0.0); }
      { let j = j0 + 4u; let p = exp2((score[r][j] - n) * 1.4426950408889634); l += p;
        weight[j][r] = select(0.0, p * partial[r][j][2], partial[r][j][2] > 0.0); }
    }
    state[r][g][share] = vec2<f32>(n, l);
    if (share == 0u) { alpha[g][r] = a; }
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
  }
}
