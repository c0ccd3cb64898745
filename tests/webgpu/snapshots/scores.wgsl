// see params.wgsl
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
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
var<workgroup> rt: array<array<array<vec4<f32>, 3>, 1>, 2>;
var<workgroup> ct: array<array<array<vec4<f32>, 3>, 2>, 4>;
@group(0) @binding(24) var<storage, read_write> scores: array<f32>;
@compute @workgroup_size(4)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let tx = li % 2u; let ty = li / 2u;
  let stage_row = li / 2u; let stage_column = li % 2u;
  let head = wid.y; let batch = wid.z; let kv_head = head / U.group; let tile = U.item_base + wid.x;
  let sequence = 4u * batch;
  let limit = schedule[sequence];
  let low = bitcast<i32>(schedule[sequence + 1u]); let high = bitcast<i32>(schedule[sequence + 2u]);
  let offset = bitcast<i32>(schedule[sequence + 3u]);
  let end = min(limit, U.length_k);
  let staged_scale = U.scale;
  var s0_0 = vec4<f32>(0.0);
  let j_tiles = (U.length_k + 7u) / 8u;
  let i0 = (tile / j_tiles) * 2u; let j0 = (tile % j_tiles) * 8u;
  let key_0 = vec4<u32>(j0 + tx) + vec4<u32>(0u, 2u, 4u, 6u);
  let query0 = i0 + ty * 1u + 0u; let head0 = head;
  let last_query = i32(min(i0 + 2u, U.length_q)) - 1;
  var r0_0 = vec4<f32>(U.neg_inf);
  if (j0 < end && !(i32(j0) > last_query + high || i32(j0) + 7 < i32(i0) + low)) {
  // S = Q K^T
  s0_0 = vec4<f32>(0.0);
  for (var c0 = 0u; c0 < 2u; c0 += 2u) {
  workgroupBarrier();
  {
    let inside = c0 + stage_column < ((U.head_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = i0 + 0u + stage_row;
    if (inside && from0 < U.length_q) { x0 = load_q(q_row(batch, head, from0), c0 + stage_column) * staged_scale; }
    rt[(stage_row) / 1u][(stage_row) % 1u][stage_column] = x0;
  }
  {
    let inside = c0 + stage_column < ((U.head_dim + 3u) >> 2u);
    var x0 = vec4<f32>(0.0); let from0 = j0 + 0u + stage_row;
    if (inside && from0 < end) { x0 = load_k(k_row(batch, kv_head, from0), c0 + stage_column); }
    var x1 = vec4<f32>(0.0); let from1 = j0 + 2u + stage_row;
    if (inside && from1 < end) { x1 = load_k(k_row(batch, kv_head, from1), c0 + stage_column); }
    var x2 = vec4<f32>(0.0); let from2 = j0 + 4u + stage_row;
    if (inside && from2 < end) { x2 = load_k(k_row(batch, kv_head, from2), c0 + stage_column); }
    var x3 = vec4<f32>(0.0); let from3 = j0 + 6u + stage_row;
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
  {
    let hi = min(i32(end) - 1, i32(query0) + high); let lo = i32(query0) + low;
    let hidden = ((vec4<i32>(key_0) > vec4<i32>(hi)) | (vec4<i32>(key_0) < vec4<i32>(lo)));
    r0_0 = select(s0_0, vec4<f32>(U.neg_inf), hidden);
  }
  }
  if (query0 < U.length_q) {
    let at = U.scores_at + batch * U.scores_batch + head * U.scores_head + query0 * U.scores_row;
    if (key_0.x < U.length_k) { scores[at + key_0.x] = r0_0.x; }
    if (key_0.y < U.length_k) { scores[at + key_0.y] = r0_0.y; }
    if (key_0.z < U.length_k) { scores[at + key_0.z] = r0_0.z; }
    if (key_0.w < U.length_k) { scores[at + key_0.w] = r0_0.w; }
  }
}
