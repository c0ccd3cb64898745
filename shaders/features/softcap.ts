// softcap: s = cap * tanh(s / cap). Its division is in the staged scale, so products give s / cap.
import type { ScoreType, ShaderFeature } from "./feature.ts";

/** tanh to f32 accuracy: the built-in may be off by 1e-5, times the cap. */
const tanh = (T: ScoreType) =>
  `fn cap_tanh(x: ${T}) -> ${T} {
  let t = exp2(abs(x) * -2.8853900817779268);
  let big = sign(x) * (1.0 - t) / (1.0 + t);
  let y = x * x;
  let small = x * (1.0 + y * (-0.33333333 + y * (0.13333333 + y * (-0.05396825 + y * 0.02186949))));
  return select(big, small, abs(x) < ${T}(0.25));
}
// d(s) / d(product): 1 - tanh^2, without the difference of near numbers when saturated
fn cap_slope(x: ${T}) -> ${T} {
  let t = exp2(abs(x) * -2.8853900817779268); let u = 1.0 + t;
  return 4.0 * t / (u * u);
}`;

export const softcap: ShaderFeature = {
  name: "softcap",
  present: "U.softcap > 0.0",
  declare: tanh,
  load: { factor: (scale) => `(${scale} / U.softcap)`, undo: "U.softcap" },
  score: (s) => `${s} = cap_tanh(${s}) * U.softcap;`,
  slope: (s) => `cap_slope(${s})`,
};
