// Functions of floats and integers that WGSL has not, or not exactly enough: its own exp, log, tanh, sin and cos may be
// off by 1e-5 and more, integer division truncates, and min and max may lose a NaN. Each is text for one value or four.
// Errors, against float64 (tests/webgpu/expression_test.ts): 2.5 units of the last place of f32, for sin and cos up to
// |x| = 1e4.
import { NOT_A_NUMBER } from "../parts/floats.ts";
import { wide, type Width } from "./terms.ts";

/** Names of the functions. */
export type FunctionName =
  | ("exp" | "log" | "tanh" | "sigmoid" | "sin" | "cos")
  | ("min" | "max" | "floor_div" | "mod");

/** What a function is written with: the name of another one, and types of a width. */
interface Writing {
  readonly fn: (name: FunctionName) => string;
  readonly F: string;
  readonly I: string;
  readonly U: string;
}

/** Functions that a function calls. */
const CALLS: Readonly<Partial<Record<FunctionName, readonly FunctionName[]>>> = {
  tanh: ["exp"],
  sigmoid: ["exp"],
};

/** c0 + x (c1 + x (c2 + ...)) */
function polynomial(F: string, x: string, coefficients: readonly number[]): string {
  return coefficients.reduceRight(
    (sum, c) => sum === "" ? `${F}(${c})` : `fma(${sum}, ${x}, ${F}(${c}))`,
    "",
  );
}

const factorials = (terms: readonly number[]): number[] =>
  terms.map((n) => 1 / Array.from({ length: n }, (_, k) => k + 1).reduce((a, b) => a * b, 1));

const alternating = (terms: readonly number[]): number[] =>
  factorials(terms).map((c, n) => n % 2 ? -c : c);

/** ln 2 as a short number, whose products with small integers are exact, and the rest. */
const LN2 = { high: 355 / 512, low: Math.LN2 - 355 / 512 };
/** π / 2 likewise, in three parts. */
const HALF_PI = { high: 201 / 128, middle: 4.837512969970703e-4, low: 7.549789954891882e-8 };

/** sin or cos: x = j π/2 + r, the quadrant says which polynomial of r and which sign. */
const circle = (turn: number) => ({ F, I }: Writing) =>
  `  let j = round(x * ${2 / Math.PI});
  let r = fma(-j, ${F}(${HALF_PI.low}), fma(-j, ${F}(${HALF_PI.middle}), fma(-j, ${F}(${HALF_PI.high}), x)));
  let y = r * r; let quadrant = ${I}(j) + ${I}(${turn});
  let s = fma(r * y, ${polynomial(F, "y", alternating([1, 3, 5, 7, 9]).slice(1))}, r);
  let c = ${polynomial(F, "y", alternating([0, 2, 4, 6, 8, 10]))};
  let chosen = select(s, c, (quadrant & ${I}(1)) == ${I}(1));
  return select(chosen, -chosen, (quadrant & ${I}(2)) == ${I}(2));`;

/** min or max: NaN wins, and of two zeros the negative one is smaller. */
const extreme = (sign: "<" | ">", join: "|" | "&") => ({ F, U }: Writing) =>
  `  var r = select(b, a, a ${sign} b);
  r = select(r, bitcast<${F}>(bitcast<${U}>(a) ${join} bitcast<${U}>(b)), a == b);
  return select(r, a, (bitcast<${U}>(a) & ${U}(0x7fffffffu)) > ${U}(0x7f800000u));`;

const BODIES: Readonly<Record<FunctionName, (writing: Writing) => string>> = {
  // 2^k e^r with r within half of ln 2; 2^k in two factors, since it may be beyond f32
  exp: ({ F, I, U }) =>
    `  let y = clamp(x, ${F}(-104.0), ${F}(89.0));
  let k = round(y * ${Math.LOG2E});
  let r = fma(-k, ${F}(${LN2.low}), fma(-k, ${F}(${LN2.high}), y));
  let p = ${polynomial(F, "r", factorials([0, 1, 2, 3, 4, 5, 6, 7]))};
  let n = ${I}(k); let h = n >> ${U}(1u);
  let scale = bitcast<${F}>((h + ${I}(127)) << ${U}(23u));
  let rest = bitcast<${F}>((n - h + ${I}(127)) << ${U}(23u));
  return select(p * scale * rest, x, (bitcast<${U}>(x) & ${U}(0x7fffffffu)) > ${U}(0x7f800000u));`,

  // 2^e m with m about 1; log m by s = f / (2 + f), f = m - 1, whose error counts only in second order
  log: ({ F, I, U }) =>
    `  let low = x < ${F}(1.17549435e-38);
  let bits = bitcast<${I}>(select(x, x * 8388608.0, low));
  let exponent = (bits - ${I}(0x3f3504f3)) >> ${U}(23u);
  let f = bitcast<${F}>(bits - (exponent << ${U}(23u))) - ${F}(1.0);
  let e = ${F}(exponent) - select(${F}(0.0), ${F}(23.0), low);
  let s = f / (${F}(2.0) + f); let y = s * s; let h = 0.5 * f * f;
  let r = y * ${polynomial(F, "y", [2 / 3, 2 / 5, 2 / 7, 2 / 9])};
  let m = f - (h - fma(s, h + r, e * ${LN2.low}));
  let own = bitcast<${U}>(x); let size = own & ${U}(0x7fffffffu);
  var l = fma(e, ${F}(${LN2.high}), m);
  l = select(l, x, size >= ${U}(0x7f800000u));
  l = select(l, ${F}(U.neg_inf), size == ${U}(0u));
  return select(l, ${F}(${NOT_A_NUMBER}), own > ${U}(0x80000000u));`,

  // small: x - x^3 p / q (Lambert's fraction), the division in what is small beside x
  tanh: ({ F, fn }) =>
    `  let y = x * x;
  let small = fma(-x * y, fma(y, ${F}(14.0), ${F}(315.0)) / fma(y, fma(y, ${F}(15.0), ${F}(420.0)), ${F}(945.0)), x);
  let big = ${F}(1.0) - 2.0 / (${fn("exp")}(2.0 * abs(x)) + ${F}(1.0));
  return select(select(big, -big, x < ${F}(0.0)), small, abs(x) < ${F}(0.625));`,

  sigmoid: ({ F, fn }) =>
    `  let e = ${fn("exp")}(-abs(x));
  return select(${F}(1.0), e, x < ${F}(0.0)) / (e + ${F}(1.0));`,

  sin: circle(0),
  cos: circle(1),
  min: extreme("<", "|"),
  max: extreme(">", "&"),

  floor_div: ({ I }) =>
    `  let divisor = select(b, ${I}(1), b == ${I}(0)); let q = a / divisor;
  let below = (q * divisor != a) & ((a < ${I}(0)) != (divisor < ${I}(0)));
  return select(select(q, q - ${I}(1), below), ${I}(0), b == ${I}(0));`,

  mod: ({ I }) =>
    `  let divisor = select(b, ${I}(1), b == ${I}(0)); let r = a - (a / divisor) * divisor;
  let below = (r != ${I}(0)) & ((r < ${I}(0)) != (divisor < ${I}(0)));
  return select(select(r, r + divisor, below), ${I}(0), b == ${I}(0));`,
};

const INTEGERS: ReadonlySet<FunctionName> = new Set(["floor_div", "mod"]);
const OF_TWO: ReadonlySet<FunctionName> = new Set(["min", "max", ...INTEGERS]);

/** The name of a function in WGSL. */
export function functionName(stem: string, name: FunctionName, width: Width): string {
  return `${stem}_${name}${width}`;
}

/** What declares some functions, and those that they call, under a stem of its own. */
export function functionTexts(
  stem: string,
  used: Iterable<readonly [FunctionName, Width]>,
): string[] {
  const wanted = new Map<string, readonly [FunctionName, Width]>();
  for (const [name, width] of used) {
    for (const one of [...CALLS[name] ?? [], name]) wanted.set(`${one}${width}`, [one, width]);
  }
  return [...wanted.values()].map(([name, width]) => {
    const [F, I, U] = [wide("f32", width), wide("i32", width), wide("u32", width)];
    const fn = (other: FunctionName) => functionName(stem, other, width);
    const type = INTEGERS.has(name) ? I : F;
    const parameters = OF_TWO.has(name) ? `a: ${type}, b: ${type}` : `x: ${type}`;
    return `fn ${fn(name)}(${parameters}) -> ${type} {\n${BODIES[name]({ F, I, U, fn })}\n}`;
  });
}
