// see params.wgsl
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
fn load_q(at: u32, c: u32) -> vec4<f32> { return q[(at >> 2u) + c]; }
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
@group(0) @binding(30) var<storage, read> ddocument_scores: array<f32>;
@group(0) @binding(29) var<storage, read> document_keys: array<i32>;
@group(0) @binding(18) var<storage, read_write> dk: array<f32>;
fn dk_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dk_at + b * U.dk_batch + h * U.dk_head + i * U.dk_row;
}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let document = U.item_base + wid.x;
  for (var head = 0u; head < U.group; head++) {
  for (var i = 0u; i < U.length_q; i++) {
    let ds = ddocument_scores[U.ddocument_scores_at + 0u * U.ddocument_scores_batch + head * U.ddocument_scores_head + document * U.ddocument_scores_row];
    let row = document_keys[U.document_keys_at + 0u * U.document_keys_batch + head * U.document_keys_head + document * U.document_keys_row + i] - i32(U.key_begin);
    if (ds == 0.0 || row < 0 || row >= i32(U.length_k)) { continue; }
    let to = dk_row(0u, 0u, u32(row)); let at = q_row(0u, head, i);
    for (var c = li; 4u * c < U.head_dim; c += 64u) {
      let x = ds * load_q(at, c);
      if (4u * c + 0u < U.head_dim) { dk[to + 4u * c + 0u] += x[0]; }
      if (4u * c + 1u < U.head_dim) { dk[to + 4u * c + 1u] += x[1]; }
      if (4u * c + 2u < U.head_dim) { dk[to + 4u * c + 2u] += x[2]; }
      if (4u * c + 3u < U.head_dim) { dk[to + 4u * c + 3u] += x[3]; }
    }
  }
  }
}
