// see params.wgsl
@group(0) @binding(3) var<storage, read> k: array<u32>;
fn k_at(i: u32) -> f32 { let w = unpack2x16float(k[i >> 1u]); return select(w.x, w.y, (i & 1u) == 1u); }
fn load_k(at: u32, c: u32) -> vec4<f32> {
  var x = vec4<f32>(0.0); let i = at + 4u * c;
  if (4u * c + 0u < U.head_dim) { x[0] = k_at(i + 0u); }
  if (4u * c + 1u < U.head_dim) { x[1] = k_at(i + 1u); }
  if (4u * c + 2u < U.head_dim) { x[2] = k_at(i + 2u); }
  if (4u * c + 3u < U.head_dim) { x[3] = k_at(i + 3u); }
  return x;
}
fn k_row(b: u32, h: u32, i: u32) -> u32 {
  return U.k_at + b * U.k_batch + h * U.k_head + i * U.k_row;
}
@group(0) @binding(30) var<storage, read> ddocument_scores: array<f32>;
@group(0) @binding(29) var<storage, read> document_keys: array<i32>;
@group(0) @binding(17) var<storage, read_write> dq: array<f32>;
fn dq_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dq_at + b * U.dq_batch + h * U.dq_head + i * U.dq_row;
}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let i = U.item_base + wid.x; let head = wid.y; let to = dq_row(0u, head, i);
  for (var document = 0u; document < U.count; document++) {
    let ds = ddocument_scores[U.ddocument_scores_at + 0u * U.ddocument_scores_batch + head * U.ddocument_scores_head + document * U.ddocument_scores_row];
    let row = document_keys[U.document_keys_at + 0u * U.document_keys_batch + head * U.document_keys_head + document * U.document_keys_row + i] - i32(U.key_begin);
    if (ds == 0.0 || row < 0 || row >= i32(U.length_k)) { continue; }
    let at = k_row(0u, 0u, u32(row));
    for (var c = li; 4u * c < U.head_dim; c += 64u) {
      let x = ds * load_k(at, c);
      if (4u * c + 0u < U.head_dim) { dq[to + 4u * c + 0u] += x[0]; }
      if (4u * c + 1u < U.head_dim) { dq[to + 4u * c + 1u] += x[1]; }
      if (4u * c + 2u < U.head_dim) { dq[to + 4u * c + 2u] += x[2]; }
      if (4u * c + 3u < U.head_dim) { dq[to + 4u * c + 3u] += x[3]; }
    }
  }
}
