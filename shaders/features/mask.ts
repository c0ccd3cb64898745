// mask: a byte for each pair, 1 = may attend, behind the work items in the schedule buffer. Its address counts bytes.
// A kernel that runs first says of each tile whether bytes of it are set (kernels/classify.ts).
import { rowAt } from "../parts/address.ts";
import type { ShaderFeature } from "./feature.ts";

export const mask: ShaderFeature = {
  name: "mask",
  present: "U.mask_at > 0u",
  declare: (type) =>
    `fn mask_byte(i: u32) -> bool { return ((schedule[i >> 2u] >> ((i & 3u) * 8u)) & 0xffu) != 0u; }
${
      type === "f32"
        ? "fn mask_sees(at: u32) -> bool { return mask_byte(at); }"
        : `fn mask_sees(at: vec4<u32>) -> vec4<bool> {
  return vec4<bool>(mask_byte(at.x), mask_byte(at.y), mask_byte(at.z), mask_byte(at.w));
}`
    }`,
  perQuery: (at) => ({ row: rowAt("mask", at) }),
  perKey: ({ key }) => ({ column: `${key} * U.mask_column` }),
  sees: (at) => `mask_sees(${at.ofQuery("row")} + ${at.ofKey("column")})`,
  verdicts: { at: "classified_at", differs: "U.mask_head > 0u" },
};
