// bias: added to the score; minus infinity hides the pair. It is read one element at a time.
import { elementReader, kindNamed } from "../parts/storage.ts";
import { rowAt } from "../parts/address.ts";
import type { ShaderFeature } from "./feature.ts";

export const bias: ShaderFeature = {
  name: "bias",
  lowers: true,
  declare(type, kind) {
    const one = type === "f32", I = one ? "u32" : "vec4<u32>", B = one ? "bool" : "vec4<bool>";
    return `${elementReader("bias", kindNamed(kind as string))}
fn bias_value(at: ${I}) -> ${type} {
  return ${
      one ? "bias_at(at)" : "vec4<f32>(bias_at(at.x), bias_at(at.y), bias_at(at.z), bias_at(at.w))"
    };
}
// minus infinity by its bits: WGSL has no literal for it
fn is_hole(b: ${type}) -> ${B} { return bitcast<${I}>(b) == ${I}(0xff800000u); }`;
  },
  perQuery: (at) => ({ row: rowAt("bias", at) }),
  perKey: ({ key }) => ({ column: `${key} * U.bias_column` }),
  read: (at) => `let b = bias_value(${at.ofQuery("row")} + ${at.ofKey("column")});`,
  score: (s) => `${s} += b;`,
  hide: () => "is_hole(b)",
  gradient: { operand: "dBias", pair: (dS) => dS },
};
