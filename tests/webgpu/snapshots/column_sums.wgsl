// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
fn load_k(at: u32, c: u32) -> vec4<f32> { return k[(at >> 2u) + c]; }
@group(0) @binding(31) var<storage, read> stats: array<vec4<f32>>;
fn is_top(x: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u); }
fn weight(s: vec4<f32>, row: vec4<f32>) -> vec4<f32> {
  let p = exp2(fma(s - vec4<f32>(row.x), vec4<f32>(1.4426950408889634), vec4<f32>(-row.z)));
  return select(p, vec4<f32>(1.0), is_top(s) & is_top(vec4<f32>(row.x)));
}
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 2>;
@group(0) @binding(27) var<storage, read_write> column_sums: array<f32>;
var<workgroup> shares: array<array<vec4<f32>, 2>, 2>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let stage_slot = li % 4u + 4u * (li / 4u); let stage_step = (li / 4u) % 1u;
  let head = wid.y; let batch = wid.z; let kv_head = head / U.group; let tile = U.item_base + wid.x;
  let sequence = 4u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);
  let end = min(limit, U.length_k);
  let staged_scale = U.scale;
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  let j0 = tile * 8u;
  let key_0 = vec4<u32>(j0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  var acc0 = vec4<f32>(0.0);
  for (var i0 = 0u; i0 < U.length_q; i0 += 8u) {
  let query0 = i0 + ty * 4u + 0u; let head0 = head;
  var stats0 = vec4<f32>(0.0); if (query0 < U.length_q) { stats0 = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query0 * U.group + head % U.group]; }
  let query1 = i0 + ty * 4u + 1u; let head1 = head;
  var stats1 = vec4<f32>(0.0); if (query1 < U.length_q) { stats1 = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query1 * U.group + head % U.group]; }
  let query2 = i0 + ty * 4u + 2u; let head2 = head;
  var stats2 = vec4<f32>(0.0); if (query2 < U.length_q) { stats2 = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query2 * U.group + head % U.group]; }
  let query3 = i0 + ty * 4u + 3u; let head3 = head;
  var stats3 = vec4<f32>(0.0); if (query3 < U.length_q) { stats3 = stats[(batch * U.kv_heads + head / U.group) * U.length_q * U.group + query3 * U.group + head % U.group]; }
  let last_query = i32(min(i0 + 8u, U.length_q)) - 1;
  if (j0 < end && !(i32(j0) > last_query + high || i32(j0) + 7 < i32(i0) + low)) {
  // S = Q K^T
  s0_0 = vec4<f32>(0.0);
  s1_0 = vec4<f32>(0.0);
  s2_0 = vec4<f32>(0.0);
  s3_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 1u) {
  workgroupBarrier();
  {
    let last_row = max(U.length_q, 1u) - 1u; let last_column = ((U.head_dim + 3u) >> 2u) - 1u;
    let inside = (c0 + stage_step) <= last_column; let from_column = min((c0 + stage_step), last_column);
    if (stage_slot < 2u) {
    let from0_0 = i0 + 4u * stage_slot + 0u; let x0_0 = load_q(q_row(batch, head, min(from0_0, last_row)), from_column) * staged_scale;
    let from0_1 = i0 + 4u * stage_slot + 1u; let x0_1 = load_q(q_row(batch, head, min(from0_1, last_row)), from_column) * staged_scale;
    let from0_2 = i0 + 4u * stage_slot + 2u; let x0_2 = load_q(q_row(batch, head, min(from0_2, last_row)), from_column) * staged_scale;
    let from0_3 = i0 + 4u * stage_slot + 3u; let x0_3 = load_q(q_row(batch, head, min(from0_3, last_row)), from_column) * staged_scale;
    let real0 = vec4<bool>(inside) & vec4<bool>(from0_0 < U.length_q, from0_1 < U.length_q, from0_2 < U.length_q, from0_3 < U.length_q);
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
    let from0_0 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 0u); let x0_0 = load_k(k_row(batch, kv_head, min(from0_0, last_row)), from_column);
    let from0_1 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 1u); let x0_1 = load_k(k_row(batch, kv_head, min(from0_1, last_row)), from_column);
    let from0_2 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 2u); let x0_2 = load_k(k_row(batch, kv_head, min(from0_2, last_row)), from_column);
    let from0_3 = j0 + stage_slot % 2u + 2u * (4u * (stage_slot / 2u) + 3u); let x0_3 = load_k(k_row(batch, kv_head, min(from0_3, last_row)), from_column);
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
  {
    let hi = min(i32(end) - 1, i32(query0) + high); let lo = i32(query0) + low;
    let hidden = ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    acc0 += select(weight(s0_0, stats0), vec4<f32>(0.0), hidden | vec4<bool>(query0 >= U.length_q));
  }
  {
    let hi = min(i32(end) - 1, i32(query1) + high); let lo = i32(query1) + low;
    let hidden = ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    acc0 += select(weight(s1_0, stats1), vec4<f32>(0.0), hidden | vec4<bool>(query1 >= U.length_q));
  }
  {
    let hi = min(i32(end) - 1, i32(query2) + high); let lo = i32(query2) + low;
    let hidden = ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    acc0 += select(weight(s2_0, stats2), vec4<f32>(0.0), hidden | vec4<bool>(query2 >= U.length_q));
  }
  {
    let hi = min(i32(end) - 1, i32(query3) + high); let lo = i32(query3) + low;
    let hidden = ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    acc0 += select(weight(s3_0, stats3), vec4<f32>(0.0), hidden | vec4<bool>(query3 >= U.length_q));
  }
  }
  }
  workgroupBarrier();
  shares[ty][tx] = acc0;
  workgroupBarrier();
  if (ty == 0u) {
    var x = shares[0][tx];
    x += shares[1][tx];
    { let key = key_0.x; if (key < U.length_k) {
      let at = U.column_sums_at + batch * U.column_sums_batch + head * U.column_sums_head + key * U.column_sums_row;
      if (U.accumulate > 0u) { column_sums[at] += x.x; } else { column_sums[at] = x.x; }
    } }
    { let key = key_0.y; if (key < U.length_k) {
      let at = U.column_sums_at + batch * U.column_sums_batch + head * U.column_sums_head + key * U.column_sums_row;
      if (U.accumulate > 0u) { column_sums[at] += x.y; } else { column_sums[at] = x.y; }
    } }
    { let key = key_0.z; if (key < U.length_k) {
      let at = U.column_sums_at + batch * U.column_sums_batch + head * U.column_sums_head + key * U.column_sums_row;
      if (U.accumulate > 0u) { column_sums[at] += x.z; } else { column_sums[at] = x.z; }
    } }
    { let key = key_0.w; if (key < U.length_k) {
      let at = U.column_sums_at + batch * U.column_sums_batch + head * U.column_sums_head + key * U.column_sums_row;
      if (U.accumulate > 0u) { column_sums[at] += x.w; } else { column_sums[at] = x.w; }
    } }
  }
}
