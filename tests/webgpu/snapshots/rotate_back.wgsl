// see params.wgsl
@group(0) @binding(40) var<storage, read> rotations: array<u32>;
@group(0) @binding(18) var<storage, read_write> dk: array<f32>;
fn dk_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dk_at + b * U.dk_batch + h * U.dk_head + i * U.dk_row;
}
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let i = (wid.y * 16384u + U.item_base + wid.x) * 256u + li;
  if (i >= U.count) { return; }
  let slots = (U.head_dim + 1u) / 2u; let slot = i % slots; var rest = i / slots;
  let row = rest % U.length_k; rest /= U.length_k;
  let head = rest % (U.kv_heads); let batch = rest / (U.kv_heads);
  let half = rotations[0];
  let first = 2u * slot; let second = first + 1u;
  let at = dk_row(batch, head, row); let to = dk_row(batch, head, row);
  let a = dk[at + first]; var b = 0.0; if (second < U.head_dim) { b = dk[at + second]; }
  if (slot >= half || row >= rotations[2u * batch + 2u]) {
    return;
  }
  let place = rotations[2u * batch + 1u] + 2u * half * row + slot;
  let u = bitcast<f32>(rotations[place]);
  let v = -bitcast<f32>(rotations[place + half]);
  dk[to + first] = a * u - b * v;
  dk[to + second] = b * u + a * v;
}
