// Floats as integers of the same order: compilers may assume that there is no NaN, of integers they assume nothing.

/** `ordered`: -0 is 0, and NaN is above all numbers. */
export const ORDERED = `fn ordered(s: vec4<f32>) -> vec4<i32> {
  let bits = bitcast<vec4<i32>>(s); let size = bits & vec4<i32>(0x7fffffff);
  let x = select(bits ^ ((bits >> vec4<u32>(31u)) & vec4<i32>(0x7fffffff)), vec4<i32>(0), size == vec4<i32>(0));
  return select(x, vec4<i32>(0x7fc00000), size > vec4<i32>(0x7f800000));
}`;
