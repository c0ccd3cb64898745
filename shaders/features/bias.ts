// bias: added to the score; minus infinity hides the pair.
import { declare, elementReader, type StorageKind } from "../parts/storage.ts";

/** Binds the bias; `bias_at(i)` is an element, `is_hole` tells minus infinity (no literal for it in WGSL). */
export function biasReader(binding: number, kind: StorageKind): string {
  return `${declare(binding, "bias", kind.dtype === "f32" ? "f32" : "u32")}
${elementReader("bias", kind)}
fn bias4(at: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(bias_at(at.x), bias_at(at.y), bias_at(at.z), bias_at(at.w));
}
fn is_hole(b: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(b) == vec4<u32>(0xff800000u); }`;
}
