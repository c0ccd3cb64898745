// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
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
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
fn out_row(b: u32, h: u32, i: u32) -> u32 {
  return U.out_at + b * U.out_batch + h * U.out_head + i * U.out_row;
}
fn v_row(b: u32, h: u32, i: u32) -> u32 {
  return U.v_at + b * U.v_batch + h * U.v_head + i * U.v_row;
}
fn lse_row(b: u32, h: u32, i: u32) -> u32 {
  return U.lse_at + b * U.lse_batch + h * U.lse_head + i * U.lse_row;
}
fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn is_plus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0x7f800000u; }
fn is_minus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0xff800000u; }
fn kept_one(batch: u32, head: u32, query: u32, key: u32) -> f32 {
  let key_in_call = U.key_begin + key; var z = 1.0;
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
  var s = sum * factor;
  pair.score = s;
  pair.hidden = false;
  return pair;
}
fn row_weight(score: f32, top: f32) -> f32 { return select(exp(score - top), 0.0, is_minus_infinity(score)); }
fn sees_key(batch: u32, head: u32, query: u32) -> bool {
  let sequence = 4u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);
  let last = min(i32(limit) - 1, i32(query) + high);
  for (var j = max(0, i32(query) + low); j <= last; j++) {
    let key = u32(j);
    if (true) { return true; }
  }
  return false;
}
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
  let columns = U.value_dim;
  // one look at all rows without a barrier: mostly that is all
  for (var first = wid.x * 16u; first < count; first += groups.x * 16u) {
    { let n = li / 4u; let item = first + n;
    if (item < count) {
      let at = out_row(batch, (kv_head * U.group + item % U.group), (item / U.group)); var finite = true;
      for (var c = li % 4u; c < columns; c += 4u) {
        finite = finite && is_finite(out[at + c]);
      }
      let x = lse[lse_row(batch, (kv_head * U.group + item % U.group), (item / U.group))];
      finite = finite && (is_finite(x) || (is_minus_infinity(x) && true));
      if (finite && is_minus_infinity(x) && li % 4u == 0u) {
        finite = !sees_key(batch, (kv_head * U.group + item % U.group), (item / U.group));
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
      let at = out_row(batch, (kv_head * U.group + item % U.group), (item / U.group)); var finite = true;
      for (var c = li % 4u; c < columns; c += 4u) {
        finite = finite && is_finite(out[at + c]);
      }
      let x = lse[lse_row(batch, (kv_head * U.group + item % U.group), (item / U.group))];
      finite = finite && (is_finite(x) || (is_minus_infinity(x) && true));
      if (finite && is_minus_infinity(x) && li % 4u == 0u) {
        finite = !sees_key(batch, (kv_head * U.group + item % U.group), (item / U.group));
      }
      if (!finite) { atomicOr(&found, 1u << n); }
    } }
  workgroupBarrier();
  if (li == 0u) { bad = atomicLoad(&found); }
  var left = workgroupUniformLoad(&bad);
  for (var n = 0u; n < 16u; n++) {
    if ((left & (1u << n)) == 0u) { continue; }
    let item = first + n; let row = item; let at = out_row(batch, (kv_head * U.group + item % U.group), (item / U.group));
    let head = (kv_head * U.group + row % U.group); let query = (row / U.group);
    // m = max S
    var top = U.neg_inf; var nan = 0.0; var infinite = 0.0; var seen = 0.0;
    for (var p = li; p < partners; p += 64u) {
      let pair = pair_score(batch, kv_head, head, query, p);
      if (pair.hidden || is_minus_infinity(pair.score)) { continue; }
      seen = 1.0;
      if (is_nan(pair.score)) { nan = 1.0; } else { top = max(top, pair.score); }
      if (is_plus_infinity(pair.score)) { infinite += 1.0; }
    }
    workgroupBarrier();
    shares[li] = vec4<f32>(top, nan, infinite, seen);
    workgroupBarrier();
    for (var t = 0u; t < 64u; t++) {
      let x = shares[t]; top = max(top, x.x); nan = max(nan, x.y); seen = max(seen, x.w);
    }
    infinite = 0.0;
    for (var t = 0u; t < 64u; t++) { infinite += shares[t].z; }
    let limit_row = infinite == 1.0 && nan == 0.0;
    // l = sum of exp(S - m)
    var sum = 0.0;
    for (var p = li; p < partners; p += 64u) {
      let pair = pair_score(batch, kv_head, head, query, p);
      if (!pair.hidden && !is_minus_infinity(pair.score)) { sum += exp(pair.score - top); }
    }
    workgroupBarrier();
    shares[li] = vec4<f32>(sum);
    workgroupBarrier();
    sum = 0.0;
    for (var t = 0u; t < 64u; t++) { sum += shares[t].x; }
    var inverse = 1.0 / sum; var row_lse = top + log2(sum) * 0.6931471805599453;
    if (nan > 0.0 || infinite > 1.0) { inverse = bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u); row_lse = inverse; }
    if (limit_row) { row_lse = top; }
    if (seen == 0.0) { row_lse = U.neg_inf; inverse = 0.0; }
    if (li == 0u) { lse[lse_row(batch, head, query)] = row_lse; }
    // entropy, largest probability, expected key
    var statistics = vec4<f32>(0.0);
    for (var p = li; p < partners; p += 64u) {
      let pair = pair_score(batch, kv_head, head, query, p);
      if (pair.hidden) { continue; }
      let w = select(row_weight(pair.score, top) * inverse, select(0.0, 1.0, is_plus_infinity(pair.score)), limit_row);
      if (w != 0.0) {
        statistics = joined(statistics, vec4<f32>(-w * log(w), w, w * f32(U.key_begin + p), w));
      }
    }
    workgroupBarrier();
    shares[li] = statistics;
    workgroupBarrier();
    statistics = vec4<f32>(0.0);
    for (var t = 0u; t < 64u; t++) { statistics = joined(statistics, shares[t]); }
    if (nan > 0.0 || infinite > 1.0) { statistics = vec4<f32>(bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u)); }
    if (li == 0u) { row_statistics[lse_row(batch, head, query)] = statistics; }
    // result = sum of w * v
    for (var c0 = 0u; c0 < columns; c0 += 64u) {
      var acc = 0.0; let c = c0 + li;
      for (var p0 = 0u; p0 < partners; p0 += 64u) {
        workgroupBarrier();
        weights[li] = vec2<f32>(0.0);
        let p = p0 + li;
        if (p < partners) {
          let pair = pair_score(batch, kv_head, (kv_head * U.group + row % U.group), (row / U.group), p);
          let z = kept_one(batch, (kv_head * U.group + row % U.group), (row / U.group), p);
          if (!pair.hidden && z > 0.0) { weights[li] = vec2<f32>(select(row_weight(pair.score, top) * inverse, select(0.0, 1.0, is_plus_infinity(pair.score)), limit_row) * z, 1.0); }
        }
        workgroupBarrier();
        if (c < columns) {
          for (var t = 0u; t < 64u; t++) {
            let x = weights[t]; let p = p0 + t;
            if (x.y > 0.0) { acc = fma(x.x, load_v(v_row(batch, kv_head, p), c / 4u)[c % 4u], acc); }
          }
        }
      }
      if (c < columns) { out[at + c] = acc; }
    }
  }
  workgroupBarrier(); // bad and found are read
  }
}
