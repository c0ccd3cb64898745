// see params.wgsl
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
@group(0) @binding(31) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(22) var<storage, read_write> dsink: array<f32>;
var<workgroup> shares: array<f32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
  let head = U.item_base + wid.x;
  // a share of the rows for each thread
  var acc = 0.0;
  for (var batch = 0u; batch < U.batch; batch++) {
    for (var query = li; query < U.length_q; query += 256u) {
      let at = ((batch * U.kv_heads + head / U.group) * U.length_q + query) * U.group + head % U.group; let x = stats[at];
      acc += -sink_share(sink_of(head), x.w, x.x, x.z) * x.y;
    }
  }
  shares[li] = acc;
  workgroupBarrier();
  // their sum, in order
  if (li == 0u) {
    var sum = 0.0;
    for (var t = 0u; t < 256u; t++) { sum += shares[t]; }
    let at = U.dsink_at + wid.y * U.dsink_batch + head * U.dsink_head;
    if (U.accumulate > 0u) { dsink[at] += sum; } else { dsink[at] = sum; }
  }
}
