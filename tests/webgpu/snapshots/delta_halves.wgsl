// see params.wgsl
@group(0) @binding(7) var<storage, read> dout: array<vec4<f32>>;
fn load_dout(at: u32, c: u32) -> vec4<f32> { return dout[(at >> 2u) + c]; }
@group(0) @binding(5) var<storage, read> out: array<vec4<f32>>;
fn load_out(at: u32, c: u32) -> vec4<f32> { return out[(at >> 2u) + c]; }
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(31) var<storage, read_write> stats: array<vec4<f32>>;
fn dout_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dout_at + b * U.dout_batch + h * U.dout_head + i * U.dout_row;
}
fn out_row(b: u32, h: u32, i: u32) -> u32 {
  return U.out_at + b * U.out_batch + h * U.out_head + i * U.out_row;
}
fn lse_row(b: u32, h: u32, i: u32) -> u32 {
  return U.lse_at + b * U.lse_batch + h * U.lse_head + i * U.lse_row;
}
var<workgroup> part: array<array<f32, 9>, 8>;
var<workgroup> tops: array<array<f32, 9>, 8>;
fn size4(x: vec4<f32>) -> f32 {
  let size = abs(x); return max(max(size.x, size.y), max(size.z, size.w));
}
fn power_to(top: f32, lift: u32) -> f32 {
  return bitcast<f32>((254u + lift - clamp(bitcast<u32>(top) >> 23u, lift + 1u, 253u)) << 23u);
}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let lane = li % 8u; let slot = li / 8u;
  let query = (U.item_base + wid.x) * 8u + slot; let head = wid.y; let batch = wid.z;
  var sum = vec4<f32>(0.0); var top = 0.0;
  if (query < U.length_q) {
    let a = dout_row(batch, head, query); let b = out_row(batch, head, query);
    let columns = (U.value_dim + 3u) / 4u;
    for (var c = lane; c < columns; c += 8u) { top = max(top, size4(load_dout(a, c))); sum = fma(load_dout(a, c), load_out(b, c), sum); }
  }
  tops[slot][lane] = top;
  part[slot][lane] = (sum.x + sum.y) + (sum.z + sum.w);
  workgroupBarrier();
  if (lane == 0u && query < U.length_q) {
    var total = 0.0;
    total += part[slot][0];
    total += part[slot][1];
    total += part[slot][2];
    total += part[slot][3];
    total += part[slot][4];
    total += part[slot][5];
    total += part[slot][6];
    total += part[slot][7];
    top = max(top, tops[slot][0]);
    top = max(top, tops[slot][1]);
    top = max(top, tops[slot][2]);
    top = max(top, tops[slot][3]);
    top = max(top, tops[slot][4]);
    top = max(top, tops[slot][5]);
    top = max(top, tops[slot][6]);
    top = max(top, tops[slot][7]);
    let x = lse[lse_row(batch, head, query)];
    let rows = U.length_q * U.group;
    let at = (batch * U.kv_heads + head / U.group) * rows + query * U.group + head % U.group;
    let empty = bitcast<u32>(x) == 0xff800000u;
    stats[at] = vec4<f32>(select(x, 3.4028234e38, empty), total, 0.0, x);
    stats[U.split_rows + at] = vec4<f32>(0.0, 0.0, power_to(top, 0u), 0.0);
  }
}
