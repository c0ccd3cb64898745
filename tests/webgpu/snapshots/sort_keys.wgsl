// see params.wgsl
@group(0) @binding(25) var<storage, read_write> top_keys: array<i32>;
@group(0) @binding(26) var<storage, read_write> top_probabilities: array<i32>;
// minus infinity, below which no score is
const NONE: i32 = -2139095041;
fn less(a: i32, a_key: i32, b: i32, b_key: i32) -> bool { return a < b || (a == b && a_key > b_key); }
fn sift(keys: u32, places: u32, n: u32, score: i32, key: i32) {
  var at = 0u;
  for (var child = 1u; child < n; child = 2u * at + 1u) {
    var least = child; var x = top_probabilities[places + child]; var x_key = top_keys[keys + child];
    if (child + 1u < n) {
      let y = top_probabilities[places + child + 1u]; let y_key = top_keys[keys + child + 1u];
      if (less(y, y_key, x, x_key)) { least = child + 1u; x = y; x_key = y_key; }
    }
    if (!less(x, x_key, score, key)) { break; }
    top_probabilities[places + at] = x; top_keys[keys + at] = x_key; at = least;
  }
  top_probabilities[places + at] = score; top_keys[keys + at] = key;
}
@group(0) @binding(31) var<storage, read> stats: array<vec4<f32>>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let head = wid.y; let batch = wid.z; let query = (U.item_base + wid.x) * 64u + li;
  if (query >= U.length_q) { return; }
  let keys = U.top_keys_at + batch * U.top_keys_batch + head * U.top_keys_head + query * U.top_keys_row; let places = U.top_probabilities_at + batch * U.top_probabilities_batch + head * U.top_probabilities_head + query * U.top_probabilities_row;
  for (var last = U.source_at; last >= U.target_at && last > 0u; last--) {
    let key = top_keys[keys + last]; let score = top_probabilities[places + last];
    top_keys[keys + last] = top_keys[keys]; top_probabilities[places + last] = top_probabilities[places];
    sift(keys, places, last, score, key);
  }
  if (U.target_at == 0u) {
    let row = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query * U.group + head % U.group];
    for (var n = 0u; n < U.count; n += 4u) {
      { let at = n + 0u; if (at < U.count) {
        let key = top_keys[keys + at]; let x = top_probabilities[places + at];
        let s = bitcast<f32>(x ^ ((x >> 31u) & 0x7fffffff));
        var p = exp2(fma(s - row.x, 1.4426950408889634, -row.z));
        if (x == 0x7f800000 && bitcast<i32>(row.x) == x) { p = 1.0; }
        if (x > 0x7f800000) { p = bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u); }
        top_probabilities[places + at] = select(bitcast<i32>(p), 0, key < 0);
      } }
      { let at = n + 1u; if (at < U.count) {
        let key = top_keys[keys + at]; let x = top_probabilities[places + at];
        let s = bitcast<f32>(x ^ ((x >> 31u) & 0x7fffffff));
        var p = exp2(fma(s - row.x, 1.4426950408889634, -row.z));
        if (x == 0x7f800000 && bitcast<i32>(row.x) == x) { p = 1.0; }
        if (x > 0x7f800000) { p = bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u); }
        top_probabilities[places + at] = select(bitcast<i32>(p), 0, key < 0);
      } }
      { let at = n + 2u; if (at < U.count) {
        let key = top_keys[keys + at]; let x = top_probabilities[places + at];
        let s = bitcast<f32>(x ^ ((x >> 31u) & 0x7fffffff));
        var p = exp2(fma(s - row.x, 1.4426950408889634, -row.z));
        if (x == 0x7f800000 && bitcast<i32>(row.x) == x) { p = 1.0; }
        if (x > 0x7f800000) { p = bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u); }
        top_probabilities[places + at] = select(bitcast<i32>(p), 0, key < 0);
      } }
      { let at = n + 3u; if (at < U.count) {
        let key = top_keys[keys + at]; let x = top_probabilities[places + at];
        let s = bitcast<f32>(x ^ ((x >> 31u) & 0x7fffffff));
        var p = exp2(fma(s - row.x, 1.4426950408889634, -row.z));
        if (x == 0x7f800000 && bitcast<i32>(row.x) == x) { p = 1.0; }
        if (x > 0x7f800000) { p = bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u); }
        top_probabilities[places + at] = select(bitcast<i32>(p), 0, key < 0);
      } }
    }
  }
}
