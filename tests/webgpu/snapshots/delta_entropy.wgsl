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
@group(0) @binding(9) var<storage, read> entropy: array<f32>;
@group(0) @binding(12) var<storage, read> dentropy: array<f32>;
fn entropy_row(b: u32, h: u32, i: u32) -> u32 {
  return U.entropy_at + b * U.entropy_batch + h * U.entropy_head + i * U.entropy_row;
}
fn dentropy_row(b: u32, h: u32, i: u32) -> u32 {
  return U.dentropy_at + b * U.dentropy_batch + h * U.dentropy_head + i * U.dentropy_row;
}
const HIDDEN: f32 = -1e30;
const FLOOR: f32 = -5e29;
@group(0) @binding(1) var<storage, read> schedule: array<u32>;
fn sink_of(head: u32) -> f32 { return bitcast<f32>(schedule[U.sink_at + head * U.sink_head]); }
fn sink_logit(head: u32, split: u32) -> f32 {
  if (split > 0u || U.sink_at == 0u) { return U.neg_inf; }
  return sink_of(head);
}
// its share of the row: 0 where there is none, 1 where it is infinite and so all
fn sink_share(sink: f32, lse: f32, m: f32, log2l: f32) -> f32 {
  let bits = bitcast<u32>(sink);
  if (bits == 0xff800000u) { return 0.0; }
  if (bits == 0x7f800000u && bitcast<u32>(lse) == bits) { return 1.0; }
  return exp2(fma(sink - m, 1.4426950408889634, -log2l));
}
// infinities and NaN by their bits: compilers may assume that there are none
fn joining(logit: f32) -> f32 { return select(logit, HIDDEN, bitcast<u32>(logit) == 0xff800000u); }
// exp(logit - top); what is not finite stays so, and the row is repaired
fn joining_weight(logit: f32, top: f32) -> f32 {
  if ((bitcast<u32>(logit) & 0x7f800000u) == 0x7f800000u) { return logit; }
  return exp2((logit - top) * 1.4426950408889634);
}
var<workgroup> part: array<array<f32, 9>, 8>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let lane = li % 8u; let slot = li / 8u;
  let query = (U.item_base + wid.x) * 8u + slot; let head = wid.y; let batch = wid.z;
  var sum = vec4<f32>(0.0);
  if (query < U.length_q) {
    let a = dout_row(batch, head, query); let b = out_row(batch, head, query);
    let columns = (U.value_dim + 3u) / 4u;
    for (var c = lane; c < columns; c += 8u) { sum = fma(load_dout(a, c), load_out(b, c), sum); }
  }
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
    let x = lse[lse_row(batch, head, query)];
    let given = dentropy[dentropy_row(batch, head, query)];
    if (given != 0.0) { total = fma(given, entropy[entropy_row(batch, head, query)] + -sink_share(sink_of(head), x, x, 0.0) * -1.0, total); }
    let rows = U.length_q * U.group;
    let at = (batch * U.kv_heads + head / U.group) * rows + query * U.group + head % U.group;
    let empty = bitcast<u32>(x) == 0xff800000u;
    stats[at] = vec4<f32>(select(x, 3.4028234e38, empty), total, 0.0, x);
    stats[U.split_rows + at] = vec4<f32>(given * 0.6931471805599453, given, 0.0, 0.0);
  }
}
