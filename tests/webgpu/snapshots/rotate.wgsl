// see params.wgsl
@group(0) @binding(40) var<storage, read> rotations: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<u32>;
fn q_at(i: u32) -> f32 { let w = unpack2x16float(q[i >> 1u]); return select(w.x, w.y, (i & 1u) == 1u); }
fn q_row(b: u32, h: u32, i: u32) -> u32 {
  return U.q_at + b * U.q_batch + h * U.q_head + i * U.q_row;
}
@group(0) @binding(17) var<storage, read_write> dq: array<f32>;
fn dq_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dq_at + b * U.dq_batch + h * U.dq_head + i * U.dq_row;
}
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let i = (wid.y * 16384u + U.item_base + wid.x) * 256u + li;
  if (i >= U.count) { return; }
  let slots = (U.head_dim + 1u) / 2u; let slot = i % slots; var rest = i / slots;
  let row = rest % U.length_q; rest /= U.length_q;
  let head = rest % (U.kv_heads * U.group); let batch = rest / (U.kv_heads * U.group);
  let half = rotations[0];
  let stays = 2u * slot; // pairs before it have as many columns
  let first = select(stays, slot, slot < half); let second = select(stays + 1u, slot + half, slot < half);
  let at = q_row(batch, head, row); let to = dq_row(batch, head, row);
  let a = q_at(at + first); var b = 0.0; if (second < U.head_dim) { b = q_at(at + second); }
  if (slot >= half || row >= rotations[2u * batch + 2u]) {
    dq[to + first] = a; if (second < U.head_dim) { dq[to + second] = b; }
    return;
  }
  let place = rotations[2u * batch + 1u] + 2u * half * row + slot;
  let u = bitcast<f32>(rotations[place]);
  let v = bitcast<f32>(rotations[place + half]);
  dq[to + first] = a * u - b * v;
  dq[to + second] = b * u + a * v;
}
