// ALiBi: s -= slope * |d(i) - j|, d(i) = i + offset the diagonal. Slopes are floats in the schedule buffer, where
// their address counts words. Slope and position are made once a row: a pair costs one abs and one fma.
import { splat } from "../parts/address.ts";
import type { PairAt, ShaderFeature } from "./feature.ts";

const distance = ({ type, ofQuery, ofKey }: PairAt) =>
  `abs(${splat(type, ofQuery("diagonal"))} - ${splat(type, ofKey("position"))})`;

/** Integers as floats: exact below 2^24, where a tile of a region lies. */
const float = (type: string, x: string) => type === "f32" ? `f32(${x})` : `vec4<f32>(${x})`;
const int = (type: string, x: string) => type === "f32" ? `i32(${x})` : `vec4<i32>(${x})`;

export const alibiSlopes: ShaderFeature = {
  name: "alibiSlopes",
  present: "U.alibi_slopes_at > 0u",
  lowers: true,
  declare: () =>
    `fn minus_slope(batch: u32, head: u32) -> f32 {
  return -bitcast<f32>(schedule[U.alibi_slopes_at + batch * U.alibi_slopes_batch + head * U.alibi_slopes_head]);
}
fn minus_slopes(batch: u32, head: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(minus_slope(batch, head.x), minus_slope(batch, head.y), minus_slope(batch, head.z), minus_slope(batch, head.w));
}`,
  perQuery: ({ type, batch, head, query, offset }) => ({
    slope: `${type === "f32" ? "minus_slope" : "minus_slopes"}(${batch}, ${head})`,
    diagonal: float(type, `${int(type, query)} + ${offset}`),
  }),
  perKey: ({ type, key }) => ({ position: float(type, key) }),
  score: (s, at) => `${s} = fma(${splat(at.type, at.ofQuery("slope"))}, ${distance(at)}, ${s});`,
  gradient: { operand: "dAlibiSlopes", pair: (dS, at) => `-${dS} * ${distance(at)}` },
};
