// The expressions as those who write functions of scores see them. All are nodes of graph.ts.

/** A float that depends on the pair: the score, a captured value, or a function of them. */
export interface FloatExpression {
  /** Tells the kinds of expressions apart. */
  readonly type: "float";
  /** this + other */
  add(other: FloatExpression | number): FloatExpression;
  /** this − other */
  sub(other: FloatExpression | number): FloatExpression;
  /** this · other */
  mul(other: FloatExpression | number): FloatExpression;
  /** this / other */
  div(other: FloatExpression | number): FloatExpression;
  /** −this */
  neg(): FloatExpression;
  /** |this|; its derivative at 0 is 0. */
  abs(): FloatExpression;
  /** The smaller one; NaN where either is NaN. Of equal ones this one has the derivative. */
  min(other: FloatExpression | number): FloatExpression;
  /** The larger one; NaN where either is NaN. Of equal ones this one has the derivative. */
  max(other: FloatExpression | number): FloatExpression;
  /** e to the power of this. */
  exp(): FloatExpression;
  /** Natural logarithm: −∞ of 0, NaN below. */
  log(): FloatExpression;
  /** Square root: NaN below 0. */
  sqrt(): FloatExpression;
  /** Hyperbolic tangent. */
  tanh(): FloatExpression;
  /** 1 / (1 + e^−this) */
  sigmoid(): FloatExpression;
  /** Sine, of radians. */
  sin(): FloatExpression;
  /** Cosine, of radians. */
  cos(): FloatExpression;
  /** This to the power of a plain number. */
  pow(exponent: number): FloatExpression;
  /** this · this */
  square(): FloatExpression;
  /** this < other */
  lt(other: FloatExpression | number): BoolExpression;
  /** this ≤ other */
  le(other: FloatExpression | number): BoolExpression;
  /** this > other */
  gt(other: FloatExpression | number): BoolExpression;
  /** this ≥ other */
  ge(other: FloatExpression | number): BoolExpression;
  /** this = other; false where either is NaN. */
  eq(other: FloatExpression | number): BoolExpression;
  /** this ≠ other; true where either is NaN. */
  ne(other: FloatExpression | number): BoolExpression;
}

/** A 32-bit integer that depends on the pair: an index, a length, or a function of them. Arithmetic wraps. */
export interface IntExpression {
  /** Tells the kinds of expressions apart. */
  readonly type: "int";
  /** this + other */
  add(other: IntExpression | number): IntExpression;
  /** this − other */
  sub(other: IntExpression | number): IntExpression;
  /** this · other */
  mul(other: IntExpression | number): IntExpression;
  /** ⌊this / other⌋; 0 where other is 0. A plain 0 is an error. */
  floorDiv(other: IntExpression | number): IntExpression;
  /** this − other · ⌊this / other⌋, which has the sign of other; 0 where other is 0. A plain 0 is an error. */
  mod(other: IntExpression | number): IntExpression;
  /** −this */
  neg(): IntExpression;
  /** |this| */
  abs(): IntExpression;
  /** The smaller one. */
  min(other: IntExpression | number): IntExpression;
  /** The larger one. */
  max(other: IntExpression | number): IntExpression;
  /** The same number as a float, rounded to float32 by engines. */
  toFloat(): FloatExpression;
  /** this < other */
  lt(other: IntExpression | number): BoolExpression;
  /** this ≤ other */
  le(other: IntExpression | number): BoolExpression;
  /** this > other */
  gt(other: IntExpression | number): BoolExpression;
  /** this ≥ other */
  ge(other: IntExpression | number): BoolExpression;
  /** this = other */
  eq(other: IntExpression | number): BoolExpression;
  /** this ≠ other */
  ne(other: IntExpression | number): BoolExpression;
}

/** A condition that depends on the pair. */
export interface BoolExpression {
  /** Tells the kinds of expressions apart. */
  readonly type: "bool";
  /** Whether both hold. */
  and(other: BoolExpression | boolean): BoolExpression;
  /** Whether at least one holds. */
  or(other: BoolExpression | boolean): BoolExpression;
  /** Whether exactly one holds. */
  xor(other: BoolExpression | boolean): BoolExpression;
  /** Whether this does not hold. */
  not(): BoolExpression;
  /** `yes` where this holds, else `no`. What flows back through the arm not taken is 0, even where that arm is NaN. */
  where(yes: FloatExpression, no: FloatExpression | number): FloatExpression;
  /** `yes` where this holds, else `no`. */
  where(yes: IntExpression, no: IntExpression | number): IntExpression;
  /** `yes` where this holds, else `no`. */
  where(yes: BoolExpression | boolean, no: BoolExpression | boolean): BoolExpression;
  /** `yes` where this holds, else `no`. */
  where(yes: number, no: FloatExpression): FloatExpression;
  /** `yes` where this holds, else `no`. */
  where(yes: number, no: IntExpression): IntExpression;
  /** Two plain numbers are floats. */
  where(yes: number, no: number): FloatExpression;
}

/** An expression of any type. */
export type AnyExpression = FloatExpression | IntExpression | BoolExpression;
