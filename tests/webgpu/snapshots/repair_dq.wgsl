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
@group(0) @binding(2) var<storage, read> q: array<f32>;
fn q_at(i: u32) -> f32 { return q[i]; }
fn load_q(at: u32, c: u32) -> vec4<f32> {
  var x = vec4<f32>(0.0); let i = at + 4u * c;
  if (4u * c + 0u < U.head_dim) { x[0] = q_at(i + 0u); }
  if (4u * c + 1u < U.head_dim) { x[1] = q_at(i + 1u); }
  if (4u * c + 2u < U.head_dim) { x[2] = q_at(i + 2u); }
  if (4u * c + 3u < U.head_dim) { x[3] = q_at(i + 3u); }
  return x;
}
@group(0) @binding(3) var<storage, read> k: array<f32>;
fn k_at(i: u32) -> f32 { return k[i]; }
fn load_k(at: u32, c: u32) -> vec4<f32> {
  var x = vec4<f32>(0.0); let i = at + 4u * c;
  if (4u * c + 0u < U.head_dim) { x[0] = k_at(i + 0u); }
  if (4u * c + 1u < U.head_dim) { x[1] = k_at(i + 1u); }
  if (4u * c + 2u < U.head_dim) { x[2] = k_at(i + 2u); }
  if (4u * c + 3u < U.head_dim) { x[3] = k_at(i + 3u); }
  return x;
}
@group(0) @binding(4) var<storage, read> v: array<f32>;
fn v_at(i: u32) -> f32 { return v[i]; }
fn load_v(at: u32, c: u32) -> vec4<f32> {
  var x = vec4<f32>(0.0); let i = at + 4u * c;
  if (4u * c + 0u < U.value_dim) { x[0] = v_at(i + 0u); }
  if (4u * c + 1u < U.value_dim) { x[1] = v_at(i + 1u); }
  if (4u * c + 2u < U.value_dim) { x[2] = v_at(i + 2u); }
  if (4u * c + 3u < U.value_dim) { x[3] = v_at(i + 3u); }
  return x;
}
@group(0) @binding(7) var<storage, read> dout: array<f32>;
fn dout_at(i: u32) -> f32 { return dout[i]; }
fn load_dout(at: u32, c: u32) -> vec4<f32> {
  var x = vec4<f32>(0.0); let i = at + 4u * c;
  if (4u * c + 0u < U.value_dim) { x[0] = dout_at(i + 0u); }
  if (4u * c + 1u < U.value_dim) { x[1] = dout_at(i + 1u); }
  if (4u * c + 2u < U.value_dim) { x[2] = dout_at(i + 2u); }
  if (4u * c + 3u < U.value_dim) { x[3] = dout_at(i + 3u); }
  return x;
}
@group(0) @binding(31) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(17) var<storage, read_write> dq: array<f32>;
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
fn dq_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dq_at + b * U.dq_batch + h * U.dq_head + i * U.dq_row;
}
fn v_row(b: u32, h: u32, i: u32) -> u32 {
  return U.v_at + b * U.v_batch + h * U.v_head + i * U.v_row;
}
fn dout_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dout_at + b * U.dout_batch + h * U.dout_head + i * U.dout_row;
}
fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn is_plus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0x7f800000u; }
fn is_minus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0xff800000u; }
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
  if (U.dropout_threshold > 0u) { z *= select(0.0, U.dropout_scale, ((dropout_kept(U.batch_begin + batch, U.head_begin + head, U.query_begin + query, key_in_call / 8u) >> (key_in_call % 8u)) & 1u) == 1u); }
  return z;
}
struct Pair { score: f32, slope: f32, hidden: bool };
fn pair_score(batch: u32, kv_head: u32, head: u32, query: u32, key: u32) -> Pair {
  var pair = Pair(0.0, 1.0, true);
  let sequence = 4u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);
  if ((i32(key) > min(i32(limit) - 1, i32(query) + high)) | (i32(key) < i32(query) + low)) { return pair; }
  // S = q . k
  var sum = 0.0; let at = q_row(batch, head, query); let other = k_row(batch, kv_head, key);
  for (var c = 0u; c < (U.head_dim + 3u) / 4u; c++) {
    let x = load_q(at, c); let y = load_k(other, c);
    sum = fma(x.x, y.x, sum); sum = fma(x.y, y.y, sum); sum = fma(x.z, y.z, sum); sum = fma(x.w, y.w, sum);
  }
  // S = features(S)
  var factor = U.scale;
  if (U.softcap > 0.0) {
    factor = (factor / U.softcap);
  }
  var s = sum * factor;
  if (U.softcap > 0.0) {
    pair.slope *= cap_slope(s);
    if (!is_nan(s)) { s = cap_tanh(s) * U.softcap; }
  }
  if (U.alibi_slopes_at > 0u) {
    if (!is_nan(s)) { s = fma((minus_slope(batch, head)), abs((f32(i32(query) + offset)) - (f32(key))), s); }
  }
  let b = bias_value((U.bias_at + batch * U.bias_batch + head * U.bias_head + query * U.bias_row) + (key * U.bias_column));
  if (is_hole(b)) { return pair; }
  if (!is_nan(s)) { s += b; }
  if (U.mask_at > 0u) {
    if (!mask_sees((U.mask_at + batch * U.mask_batch + head * U.mask_head + query * U.mask_row) + (key * U.mask_column))) { return pair; }
  }
  pair.score = s;
  pair.hidden = false;
  return pair;
}
fn weight(batch: u32, kv_head: u32, row: u32, head: u32, query: u32, key: u32, pair: Pair) -> f32 {
  let at_stats = (batch * U.kv_heads + kv_head) * U.length_q * U.group + row; let x = stats[at_stats];
  var log2p = fma(pair.score - x.x, 1.4426950408889634, -x.z); var p = exp2(log2p);
  // one infinite score: the limit of one that grows without end
  if (is_plus_infinity(pair.score) && is_plus_infinity(x.x)) { p = 1.0; log2p = 0.0; }
  let z = kept_one(batch, head, query, key); var dp = 0.0;
  let at = dout_row(batch, head, query); let other = v_row(batch, kv_head, key);
  for (var c = 0u; c < (U.value_dim + 3u) / 4u; c++) {
    let a = load_dout(at, c); let b = load_v(other, c);
    dp = fma(a.x, b.x, dp); dp = fma(a.y, b.y, dp); dp = fma(a.z, b.z, dp); dp = fma(a.w, b.w, dp);
  }
  return p * (select(0.0, dp * z, z > 0.0) - x.y) * pair.slope * U.scale;
}
var<workgroup> found: atomic<u32>;
var<workgroup> bad: u32;
var<workgroup> shares: array<vec4<f32>, 64>;
var<workgroup> weights: array<vec2<f32>, 64>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>,
        @builtin(num_workgroups) groups: vec3<u32>) {
  let kv_head = wid.y; let batch = wid.z;
  let rows = U.length_q * U.group;
  let count = rows; let partners = U.length_k;
  let columns = U.head_dim;
  // one look at all rows without a barrier: mostly that is all
  for (var first = wid.x * 16u; first < count; first += groups.x * 16u) {
    { let n = li / 4u; let item = first + n;
    if (item < count) {
      let at = dq_row(batch, (kv_head * U.group + item % U.group), (item / U.group)); var finite = true;
      for (var c = li % 4u; c < columns; c += 4u) {
        finite = finite && is_finite(dq[at + c]);
      }
      if (!finite) { atomicOr(&found, 1u); }
    } }
  }
  workgroupBarrier();
  if (li == 0u) { bad = atomicLoad(&found); }
  if (workgroupUniformLoad(&bad) == 0u) { return; }
  for (var first = wid.x * 16u; first < count; first += groups.x * 16u) {
  if (li == 0u) { atomicStore(&found, 0u); }
  workgroupBarrier();
    { let n = li / 4u; let item = first + n;
    if (item < count) {
      let at = dq_row(batch, (kv_head * U.group + item % U.group), (item / U.group)); var finite = true;
      for (var c = li % 4u; c < columns; c += 4u) {
        finite = finite && is_finite(dq[at + c]);
      }
      if (!finite) { atomicOr(&found, 1u << n); }
    } }
  workgroupBarrier();
  if (li == 0u) { bad = atomicLoad(&found); }
  var left = workgroupUniformLoad(&bad);
  for (var n = 0u; n < 16u; n++) {
    if ((left & (1u << n)) == 0u) { continue; }
    let item = first + n; let row = item; let at = dq_row(batch, (kv_head * U.group + item % U.group), (item / U.group));
    // result = sum of w * k
    for (var c0 = 0u; c0 < columns; c0 += 64u) {
      var acc = 0.0; let c = c0 + li;
      for (var p0 = 0u; p0 < partners; p0 += 64u) {
        workgroupBarrier();
        weights[li] = vec2<f32>(0.0);
        let p = p0 + li;
        if (p < partners) {
          let pair = pair_score(batch, kv_head, (kv_head * U.group + row % U.group), (row / U.group), p);
          if (!pair.hidden) { weights[li] = vec2<f32>(weight(batch, kv_head, row, (kv_head * U.group + row % U.group), (row / U.group), p, pair), 1.0); }
        }
        workgroupBarrier();
        if (c < columns) {
          for (var t = 0u; t < 64u; t++) {
            let x = weights[t]; let p = p0 + t;
            if (x.y > 0.0) { acc = fma(x.x, load_k(k_row(batch, kv_head, p), c / 4u)[c % 4u], acc); }
          }
        }
      }
      if (c < columns) { dq[at + c] = acc; }
    }
  }
  workgroupBarrier(); // bad and found are read
  }
}
