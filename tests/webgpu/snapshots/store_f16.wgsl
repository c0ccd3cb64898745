// see params.wgsl
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
fn load_k(at: u32, c: u32) -> vec4<f32> { return k[(at >> 2u) + c]; }
@group(0) @binding(39) var<storage, read_write> result: array<vec2<u32>>;
fn narrow(x: f32) -> u32 {
  let bits = bitcast<u32>(x); let sign = (bits >> 16u) & 0x8000u; let a = bits & 0x7fffffffu;
  if (a > 0x7f800000u) { return sign | 0x7e00u; }
  if (a >= 0x47800000u) { return sign | 0x7c00u; }
  if (a < 0x33000000u) { return sign; }
  if (a < 0x38800000u) { // subnormal: shift the significand, with its hidden bit, into place
    let shift = 126u - (a >> 23u); let m = (a & 0x7fffffu) | 0x800000u;
    let kept = m >> shift; let rest = m & ((1u << shift) - 1u); let half = 1u << (shift - 1u);
    return sign | (kept + select(0u, 1u, rest > half || (rest == half && (kept & 1u) == 1u)));
  }
  return sign | ((a - 0x38000000u + 0xfffu + ((a >> 13u) & 1u)) >> 13u);
}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let columns4 = (U.head_dim + 3u) >> 2u;
  let i = (wid.y * 16384u + U.item_base + wid.x) * 64u + li;
  let c = i % columns4; let h = i / columns4 % U.kv_heads; let r = i / columns4 / U.kv_heads;
  if (r >= U.count) { return; }
  let from_row = U.k_at + r / U.length_k * U.k_batch + h * U.k_head + r % U.length_k * U.k_row;
  let place = schedule[r];
  let at = U.v_at + place / U.page_rows * U.v_batch + h * U.v_head + place % U.page_rows * U.v_row;
  let x = load_k(from_row, c);
  result[(at >> 2u) + c] = vec2<u32>(narrow(x.x) | (narrow(x.y) << 16u), narrow(x.z) | (narrow(x.w) << 16u));
}
