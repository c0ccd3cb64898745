// dropout: eight draws of Philox4x32-10 (Salmon et al. 2011) for eight keys of a query; docs/features.md has the
// definition. WGSL has no high word of a product, so it is made of four products of 16 bits. The rounds are written
// out: llvmpipe counts the turns of loops (longestStream in src/plan/webgpu/tiles.ts).
import { each } from "../parts/text.ts";
import type { ShaderFeature } from "./feature.ts";

const ROUNDS = 10;

export const dropout: ShaderFeature = {
  name: "dropout",
  present: "U.dropout_threshold > 0u",
  probability: {
    declare: `// high and low word of a product
fn wide_product(a: u32, b: u32) -> vec2<u32> {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let middle = ah * bl + ((al * bl) >> 16u); let other = al * bh + (middle & 0xffffu);
  return vec2<u32>(ah * bh + (middle >> 16u) + (other >> 16u), a * b);
}
fn philox_round(x: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  let p = wide_product(x.x, 0xd2511f53u); let q = wide_product(x.z, 0xcd9e8d57u);
  return vec4<u32>(q.x ^ x.y ^ key.x, q.y, p.x ^ x.w ^ key.y, p.y);
}
fn dropout_kept(batch: u32, head: u32, query: u32, group: u32) -> u32 {
  var x = vec4<u32>(group, query, head, batch);
  var key = vec2<u32>(U.dropout_seed_low, U.dropout_seed_high);
${each(ROUNDS, () => "  x = philox_round(x, key); key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);")}
  let least = vec4<u32>(U.dropout_threshold); let exchanged = (x << vec4<u32>(16u)) | (x >> vec4<u32>(16u));
  let bits = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), x >= least)
    | select(vec4<u32>(0u), vec4<u32>(16u, 32u, 64u, 128u), exchanged >= least);
  return bits.x | bits.y | bits.z | bits.w;
}`,
    kept: ({ batch, head, query, group }) => `dropout_kept(${batch}, ${head}, ${query}, ${group})`,
    scale: "U.dropout_scale",
  },
};
