// see params.wgsl
@group(0) @binding(38) var<storage, read> source: array<f32>;
@group(0) @binding(39) var<storage, read_write> result: array<u32>;
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
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let i = (wid.y * 16384u + U.item_base + wid.x) * 256u + li;
  if (2u * i >= U.count) { return; }
  var high = 0u; if (2u * i + 1u < U.count) { high = narrow(source[2u * i + 1u]); }
  result[i] = narrow(source[2u * i]) | (high << 16u);
}
