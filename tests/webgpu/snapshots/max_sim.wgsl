// see params.wgsl
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
fn load_k(at: u32, c: u32) -> vec4<f32> { return k[(at >> 2u) + c]; }
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
@group(0) @binding(38) var<storage, read> source: array<u32>;
@group(0) @binding(28) var<storage, read_write> document_scores: array<f32>;
@group(0) @binding(29) var<storage, read_write> document_keys: array<i32>;
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 2>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 2>;
fn ordered(s: vec4<f32>) -> vec4<i32> {
  let bits = bitcast<vec4<i32>>(s); let size = bits & vec4<i32>(0x7fffffff);
  let x = select(bits ^ ((bits >> vec4<u32>(31u)) & vec4<i32>(0x7fffffff)), vec4<i32>(0), size == vec4<i32>(0));
  return select(x, vec4<i32>(0x7fc00000), size > vec4<i32>(0x7f800000));
}
// below minus infinity: no row yet
const LEAST: i32 = -2147483647;
var<workgroup> bests: array<array<i32, 2>, 8>;
var<workgroup> rows: array<array<u32, 2>, 8>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let stage_slot = li % 4u + 4u * (li / 4u); let stage_step = (li / 4u) % 1u;
  let document = U.item_base + wid.x; let head = wid.y; let batch = 0u; let kv_head = 0u; let staged_scale = 1.0;
  let begin = source[document] - U.key_begin; let end = source[document + 1u] - U.key_begin;
  var s0_0 = vec4<f32>(0.0);
  var s1_0 = vec4<f32>(0.0);
  var s2_0 = vec4<f32>(0.0);
  var s3_0 = vec4<f32>(0.0);
  // of queries before these
  var total = 0.0; if (U.accumulate > 0u) { total = document_scores[U.document_scores_at + 0u * U.document_scores_batch + head * U.document_scores_head + document * U.document_scores_row]; }
  for (var i0 = 0u; i0 < U.length_q; i0 += 8u) {
    var best0 = LEAST; var row0 = 0u;
    var best1 = LEAST; var row1 = 0u;
    var best2 = LEAST; var row2 = 0u;
    var best3 = LEAST; var row3 = 0u;
    for (var j0 = begin; j0 < end; j0 += 8u) {
      let key_0 = vec4<u32>(j0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
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
    let from0_0 = i0 + 4u * stage_slot + 0u; let x0_0 = load_q(q_row(0u, head, min(from0_0, last_row)), from_column) * staged_scale;
    let from0_1 = i0 + 4u * stage_slot + 1u; let x0_1 = load_q(q_row(0u, head, min(from0_1, last_row)), from_column) * staged_scale;
    let from0_2 = i0 + 4u * stage_slot + 2u; let x0_2 = load_q(q_row(0u, head, min(from0_2, last_row)), from_column) * staged_scale;
    let from0_3 = i0 + 4u * stage_slot + 3u; let x0_3 = load_q(q_row(0u, head, min(from0_3, last_row)), from_column) * staged_scale;
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
    { let x = ordered(s0_0);
      if (key_0.x < end && x.x > best0) { best0 = x.x; row0 = key_0.x; }
      if (key_0.y < end && x.y > best0) { best0 = x.y; row0 = key_0.y; }
      if (key_0.z < end && x.z > best0) { best0 = x.z; row0 = key_0.z; }
      if (key_0.w < end && x.w > best0) { best0 = x.w; row0 = key_0.w; }
    }
    { let x = ordered(s1_0);
      if (key_0.x < end && x.x > best1) { best1 = x.x; row1 = key_0.x; }
      if (key_0.y < end && x.y > best1) { best1 = x.y; row1 = key_0.y; }
      if (key_0.z < end && x.z > best1) { best1 = x.z; row1 = key_0.z; }
      if (key_0.w < end && x.w > best1) { best1 = x.w; row1 = key_0.w; }
    }
    { let x = ordered(s2_0);
      if (key_0.x < end && x.x > best2) { best2 = x.x; row2 = key_0.x; }
      if (key_0.y < end && x.y > best2) { best2 = x.y; row2 = key_0.y; }
      if (key_0.z < end && x.z > best2) { best2 = x.z; row2 = key_0.z; }
      if (key_0.w < end && x.w > best2) { best2 = x.w; row2 = key_0.w; }
    }
    { let x = ordered(s3_0);
      if (key_0.x < end && x.x > best3) { best3 = x.x; row3 = key_0.x; }
      if (key_0.y < end && x.y > best3) { best3 = x.y; row3 = key_0.y; }
      if (key_0.z < end && x.z > best3) { best3 = x.z; row3 = key_0.z; }
      if (key_0.w < end && x.w > best3) { best3 = x.w; row3 = key_0.w; }
    }
    }
    workgroupBarrier();
    bests[ty * 4u + 0u][tx] = best0; rows[ty * 4u + 0u][tx] = row0;
    bests[ty * 4u + 1u][tx] = best1; rows[ty * 4u + 1u][tx] = row1;
    bests[ty * 4u + 2u][tx] = best2; rows[ty * 4u + 2u][tx] = row2;
    bests[ty * 4u + 3u][tx] = best3; rows[ty * 4u + 3u][tx] = row3;
    workgroupBarrier();
    let query = i0 + li;
    if (li < 8u && query < U.length_q) {
      var best = bests[li][0]; var row = rows[li][0];
      for (var x = 1u; x < 2u; x++) {
        let other = bests[li][x]; let at = rows[li][x];
        if (other > best || (other == best && at < row)) { best = other; row = at; }
      }
      document_keys[U.document_keys_at + 0u * U.document_keys_batch + head * U.document_keys_head + document * U.document_keys_row + query] = select(i32(row + U.key_begin), -1, best == LEAST);
      bests[li][0] = best;
    }
    workgroupBarrier();
    if (li == 0u) {
      for (var i = 0u; i < min(8u, U.length_q - i0); i++) {
        let x = bests[i][0];
        total += select(bitcast<f32>(x ^ ((x >> 31u) & 0x7fffffff)), bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u), x > 0x7f800000);
      }
    }
  }
  if (li == 0u) {
    document_scores[U.document_scores_at + 0u * U.document_scores_batch + head * U.document_scores_head + document * U.document_scores_row] = select(total, U.neg_inf, begin == end && U.length_q > 0u);
  }
}
