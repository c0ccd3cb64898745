// Functions of floats as straight lines of steps, from x$ to y$: `$` stands for the number of a vector, so that one
// text can be woven for several. Errors are those of tests/internals/expression_functions_test.ts.

/** A function: its constants, and its steps in order. */
export interface VectorFunction {
  readonly constants: Readonly<Record<string, number>>;
  readonly steps: readonly string[];
}

/** Adding it leaves the nearest integer in the low bits of a float: 1.5 · 2^23. */
const MAGIC = 12582912;
const factorial = (n: number): number => n < 2 ? 1 : n * factorial(n - 1);

/** Coefficients c1, c2, … of a function whose n-th is `of(n)`, and the steps of (c_degree x + …) x. */
function polynomial(x: string, degree: number, of: (n: number) => number): VectorFunction {
  const constants: Record<string, number> = {};
  for (let n = 1; n <= degree; n++) constants[`c${n}`] = of(n);
  const steps = [`p$ = madd(${x}, c${degree}, c${degree - 1});`];
  for (let n = degree - 2; n >= 1; n--) steps.push(`p$ = madd(p$, ${x}, c${n});`);
  return { constants, steps: [...steps, `p$ = f32x4.mul(p$, ${x});`] };
}

/** e^g − 1 for |g| ≤ ln2 / 2: the Taylor series, whose rest is below 6e-9. */
const natural = polynomial("f$", 7, (n) => 1 / factorial(n));
/** 2^f − 1 for |f| ≤ 1/2. */
const binary = polynomial("f$", 7, (n) => Math.LN2 ** n / factorial(n));

/** x = n ln2 + f: ln2 in two parts, of which n times the first is exact. */
const LN2_HIGH = 0.693359375, LN2_LOW = Math.LN2 - LN2_HIGH;

const exp: VectorFunction = {
  constants: {
    ...natural.constants,
    ...{ magic: MAGIC, highest: 89, lowest: -104, log2e: Math.LOG2E },
    ...{ ln2High: -LN2_HIGH, ln2Low: -LN2_LOW, one: 1 },
  },
  steps: [
    "y$ = f32x4.pmin(highest, f32x4.pmax(lowest, x$));",
    "r$ = f32x4.add(f32x4.mul(y$, log2e), magic);",
    "f$ = f32x4.sub(r$, magic);",
    "f$ = madd(f$, ln2Low, f32x4.add(y$, f32x4.mul(f$, ln2High)));",
    ...natural.steps,
    "p$ = f32x4.add(p$, one);",
    // 2^n in two factors: n alone leaves the range of exponents where the result is infinite or below the normal ones
    "r$ = i32x4.sub(r$, magic);",
    "f$ = i32x4.shr_s(r$, 1);",
    "r$ = i32x4.sub(r$, f$);",
    "p$ = f32x4.mul(p$, i32x4.add(one, i32x4.shl(f$, 23)));",
    "y$ = f32x4.mul(p$, i32x4.add(one, i32x4.shl(r$, 23)));",
    "y$ = v128.bitselect(y$, x$, f32x4.eq(x$, x$));",
  ],
};

/** (e^2|x| − 1) / (e^2|x| + 1), the numerator without cancellation: 2^n (2^f − 1) + (2^n − 1). 1 from 10 on. */
const tanh: VectorFunction = {
  constants: {
    ...binary.constants,
    ...{ sign: -0, highest: 10, rate: 2 * Math.LOG2E, magic: MAGIC + 127, one: 1, two: 2 },
  },
  steps: [
    "s$ = v128.and(x$, sign);",
    "y$ = f32x4.mul(f32x4.pmin(v128.xor(x$, s$), highest), rate);",
    "r$ = f32x4.add(y$, magic);",
    "f$ = f32x4.sub(y$, f32x4.sub(r$, magic));",
    ...binary.steps,
    "r$ = i32x4.shl(r$, 23);",
    "p$ = madd(r$, p$, f32x4.sub(r$, one));",
    "y$ = v128.or(s$, f32x4.div(p$, f32x4.add(p$, two)));",
  ],
};

/** Bits of the float32 next to sqrt(1/2). */
const ROOT_HALF = 0x3f3504f3;

/** ln x = k ln2 + 2 artanh(s), s = (m − 1) / (m + 1), for m in [sqrt(1/2), sqrt(2)). */
const log: VectorFunction = {
  constants: {
    ...{ smallest: 2 ** -126, lift: 2 ** 23, lifted: 23, one: 1, zero: 0 },
    ...{ a3: 2 / 9, a2: 2 / 7, a1: 2 / 5, a0: 2 / 3, ln2High: LN2_HIGH, ln2Low: LN2_LOW },
    ...{ infinite: Infinity, lowest: -Infinity, none: NaN },
  },
  steps: [
    "f$ = f32x4.lt(x$, smallest);",
    "p$ = v128.bitselect(f32x4.mul(x$, lift), x$, f$);",
    `r$ = i32x4.shr_s(i32x4.sub(p$, i32x4.splat(${ROOT_HALF})), 23);`,
    "p$ = i32x4.sub(p$, i32x4.shl(r$, 23));",
    "r$ = f32x4.sub(f32x4.convert_i32x4_s(r$), v128.and(f$, lifted));",
    "s$ = f32x4.div(f32x4.sub(p$, one), f32x4.add(p$, one));",
    "f$ = f32x4.mul(s$, s$);",
    "y$ = madd(madd(madd(a3, f$, a2), f$, a1), f$, a0);",
    "y$ = madd(f32x4.mul(f$, s$), y$, f32x4.add(s$, s$));",
    "y$ = madd(r$, ln2High, madd(r$, ln2Low, y$));",
    "y$ = v128.bitselect(y$, x$, f32x4.lt(x$, infinite));",
    "y$ = v128.bitselect(lowest, y$, f32x4.eq(x$, zero));",
    "y$ = v128.bitselect(none, y$, f32x4.lt(x$, zero));",
  ],
};

/** π/2 in parts, of which k times the first two is exact up to k = 2^13. */
const QUARTER = [1.5703125, 4.8351287841796875e-4];
const QUARTER_3 = Math.fround(Math.PI / 2 - QUARTER[0]! - QUARTER[1]!);
const QUARTER_4 = 6.123233995736766e-17 + (Math.PI / 2 - QUARTER[0]! - QUARTER[1]! - QUARTER_3);

/** x = k π/2 + f, |f| ≤ π/4: sine or cosine of f, by whether k, in `r$` with \`turn\` added, is odd; Taylor series. */
const wave: VectorFunction = {
  constants: {
    ...{ inverse: 2 / Math.PI, magic: MAGIC, q1: -QUARTER[0]!, q2: -QUARTER[1]!, q3: -QUARTER_3 },
    ...{ q4: -QUARTER_4, one: 1, odd1: -1 / 6, odd2: 1 / 120, odd3: -1 / 5040, odd4: 1 / 362880 },
    ...{ even1: -1 / 2, even2: 1 / 24, even3: -1 / 720, even4: 1 / 40320 },
  },
  steps: [
    "r$ = f32x4.add(f32x4.mul(x$, inverse), magic);",
    "p$ = f32x4.sub(r$, magic);",
    "f$ = f32x4.add(f32x4.add(x$, f32x4.mul(p$, q1)), f32x4.mul(p$, q2));",
    "f$ = madd(p$, q4, madd(p$, q3, f$));",
    "s$ = f32x4.mul(f$, f$);",
    "p$ = madd(madd(madd(odd4, s$, odd3), s$, odd2), s$, odd1);",
    "p$ = madd(f32x4.mul(s$, f$), p$, f$);",
    "y$ = madd(s$, madd(s$, madd(madd(even4, s$, even3), s$, even2), even1), one);",
    "r$ = i32x4.add(r$, turn);",
    "f$ = i32x4.shl(r$, 31);",
    "y$ = v128.bitselect(p$, y$, i32x4.eq(f$, i32x4.splat(0)));",
    "y$ = v128.xor(y$, i32x4.shl(i32x4.shr_u(r$, 1), 31));",
  ],
};

/** The functions; `wave` is sine, or cosine with a turn of 1. */
export const FUNCTIONS: Readonly<Record<"exp" | "tanh" | "log" | "wave", VectorFunction>> = {
  exp,
  tanh,
  log,
  wave,
};
