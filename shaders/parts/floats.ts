// Classes of floats, by their bits: compilers may assume that there are no infinities and no NaN.

/** `is_finite`, `is_nan`, `is_plus_infinity`, `is_minus_infinity`. */
export const FLOAT_CLASSES =
  `fn is_finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn is_plus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0x7f800000u; }
fn is_minus_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0xff800000u; }`;

/** A NaN, as an expression of the uniform block: one that is computed from constants may be folded away. */
export const NOT_A_NUMBER = "bitcast<f32>(bitcast<u32>(U.neg_inf) | 0x400000u)";
