// What is wrong with a result, in words: a factor, a sign, an order of axes, one of the usual faults, or where it is off.
import type { Layout } from "../problem/call_options.ts";
import type { Formula } from "./formula.ts";
import { largestOf } from "./gradients.ts";
import { type Suspect, suspectsOf } from "./faults.ts";
import {
  compute,
  type Computed,
  largestDifference,
  placeOf,
  valuesOf,
  type Wanted,
} from "./results.ts";
import { FLOAT64 } from "./formula.ts";

/** Kinds of what is wrong. */
export type DiagnosisKind =
  | "threw"
  | "missing"
  | "written"
  | "empty rows"
  | "not finite"
  | "zero"
  | "sign"
  | "factor"
  | "order"
  | "fault"
  | "differences"
  | "precision"
  | "other";

/** What is wrong with a result. */
export interface Diagnosis {
  /** Its kind. */
  readonly kind: DiagnosisKind;
  /** What the result is: "4.000 times what it should be: √headDim". */
  readonly text: string;
  /** Kind `"factor"` and `"sign"`: what the right result was multiplied with. */
  readonly factor?: number | undefined;
  /** Kind `"factor"`: what of the problem has that value, likely ones first. */
  readonly expressions?: readonly string[] | undefined;
}

/** Computes suspects once for all results of a problem, when the first one is asked for. */
export class Suspicion {
  #suspects: { readonly suspect: Suspect; readonly computed: Computed }[] | undefined;

  constructor(
    readonly formula: Formula,
    readonly exact: Computed,
    readonly layout: Layout,
  ) {}

  /** Formulas with a fault, computed. */
  get suspects(): readonly { readonly suspect: Suspect; readonly computed: Computed }[] {
    return this.#suspects ??= [...suspectsOf(this.formula, this.exact.forward)]
      .map((suspect) => ({ suspect, computed: compute(suspect.formula, FLOAT64) }));
  }

  /** For each element of a result that has rows of queries, whether its row sees no key. */
  emptyRows(wanted: Wanted): Uint8Array | undefined {
    const { name, values } = wanted, { seen } = this.exact.forward;
    if (!["out", "lse", "dq"].includes(name)) return undefined;
    const dim = values.length / seen.length;
    const empty = Float64Array.from(values, (_, n) => seen[Math.floor(n / dim)] === 0 ? 1 : 0);
    return Uint8Array.from(placeOf(name, this.formula, this.layout).order(empty));
  }
}

/** What is wrong with `got`, which is not within the error that is allowed. */
export function diagnose(wanted: Wanted, got: Float64Array, suspicion: Suspicion): Diagnosis {
  const plain = inEmptyRows(wanted, got, suspicion) ?? notFinite(wanted, got) ??
    isZero(wanted, got);
  if (plain) return plain;
  const factor = asFactor(wanted, got, suspicion.formula);
  if (factor?.kind === "sign" || factor?.expressions?.length) return factor;
  // a factor without a name may be chance
  return asOrder(wanted, got) ?? asLogarithm(wanted, got, suspicion) ??
    asFault(wanted, got, suspicion) ?? factor ?? elsewhere(wanted, got);
}

/** Whether an element is off. */
export function isOff({ values, allowed }: Wanted, got: Float64Array, n: number): boolean {
  const want = values[n]!;
  if (!Number.isFinite(want)) return got[n] !== want;
  return !(Math.abs(got[n]! - want) <= allowed);
}

function placesOff(wanted: Wanted, got: Float64Array): number[] {
  return [...got.keys()].filter((n) => isOff(wanted, got, n));
}

function inEmptyRows(
  wanted: Wanted,
  got: Float64Array,
  suspicion: Suspicion,
): Diagnosis | undefined {
  const empty = suspicion.emptyRows(wanted), off = placesOff(wanted, got);
  if (!empty || !off.every((n) => empty[n])) return undefined;
  const want = wanted.values[off[0]!];
  const text = `${got[off[0]!]} in rows that see no key, where ${want} is wanted`;
  return { kind: "empty rows", text };
}

function notFinite({ values }: Wanted, got: Float64Array): Diagnosis | undefined {
  const bad = got.filter((value, n) => !Number.isFinite(value) && Number.isFinite(values[n]!));
  if (bad.length === 0) return undefined;
  const what = bad.some(Number.isNaN) ? "NaN" : "infinite";
  return { kind: "not finite", text: `${what} in ${share(bad.length, got.length)}` };
}

function share(count: number, of: number): string {
  return count === of ? "all elements" : `some elements`;
}

function isZero({ largest }: Wanted, got: Float64Array): Diagnosis | undefined {
  if (!got.every((value) => value === 0) || largest === 0) return undefined;
  return { kind: "zero", text: "zero everywhere" };
}

/** What factors may come of. */
function namedFactors(formula: Formula): [name: string, value: number][] {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim, scale } = formula;
  const sizes: [string, number][] = [
    ["√headDim", Math.sqrt(headDim)],
    ["1 / softmaxScale", 1 / scale],
    ["query heads of a kv head", queryHeads / kvHeads],
    ["batch", batch],
    ["headDim", headDim],
    ...(valueDim === headDim ? [] : [["√valueDim", Math.sqrt(valueDim)] as [string, number]]),
    ["lengthK", lengthK],
    ["lengthQ", lengthQ],
    ["queryHeads", queryHeads],
    ["ln 2", Math.LN2],
    ["2", 2],
  ];
  return sizes.flatMap(([name, value]) => {
    const under = name.includes(" ") && name !== "ln 2" ? `(${name})` : name;
    const inverse = name === "1 / softmaxScale" ? "softmaxScale" : `1 / ${under}`;
    return Math.abs(value - 1) < 0.01 ? [] : [[name, value], [inverse, 1 / value]] as const;
  }).map(([name, value]) => [name, value]);
}

function asFactor(wanted: Wanted, got: Float64Array, formula: Formula): Diagnosis | undefined {
  const { values, allowed, largest } = wanted;
  let product = 0, square = 0;
  values.forEach((want, n) => {
    if (!Number.isFinite(want)) return;
    product += got[n]! * want;
    square += want * want;
  });
  const factor = product / square;
  // a factor near 1 or 0 is another fault
  const tells = Number.isFinite(factor) && Math.abs(factor) > 1e-6 && Math.abs(factor - 1) > 0.01;
  if (!tells || largest < 8 * allowed) return undefined;
  const scaled = values.map((want) => want * factor), size = Math.max(1, Math.abs(factor));
  const near = Math.max(2 * allowed * size, 1e-4 * largest * Math.abs(factor));
  const distance = largestDifference(scaled, got);
  if (distance > near || distance > 0.1 * largestDifference(values, got)) return undefined;
  const close = (value: number) => Math.abs(factor / value - 1) < 1e-3;
  if (close(-1)) return { kind: "sign", text: "of the wrong sign", factor };
  const expressions = namedFactors(formula).flatMap(([name, value]) =>
    close(value) ? [name] : close(-value) ? [`−${name}`] : []
  );
  const text = `${factor.toPrecision(4)} times what it should be` +
    (expressions.length ? `: ${expressions.join(", or ")}` : "");
  return { kind: "factor", text, factor, expressions };
}

/** All orders of `axes` numbers. */
function permutations(axes: readonly number[]): number[][] {
  if (axes.length === 0) return [[]];
  return axes.flatMap((axis) =>
    permutations(axes.filter((other) => other !== axis)).map((rest) => [axis, ...rest])
  );
}

/** Values of a shape with their axes in another order. */
function transposed(
  values: Float64Array,
  shape: readonly number[],
  order: readonly number[],
): Float64Array {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const index = order.map(() => 0);
  return values.map(() => {
    const value = values[order.reduce((sum, axis, n) => sum + index[n]! * strides[axis]!, 0)]!;
    for (let n = order.length - 1; n >= 0 && ++index[n]! === shape[order[n]!]; n--) index[n] = 0;
    return value;
  });
}

function isNear({ values, allowed }: Wanted, got: Float64Array, other: Float64Array): boolean {
  const distance = largestDifference(got, other);
  const largest = largestOf(other.filter(Number.isFinite));
  // what is not finite in one of them alone is no likeness
  if (got.some((value, n) => Number.isFinite(value) !== Number.isFinite(other[n]!))) return false;
  return distance <= Math.max(4 * allowed, 1e-4 * largest) &&
    distance < 0.1 * largestDifference(got, values);
}

function asOrder(wanted: Wanted, got: Float64Array): Diagnosis | undefined {
  const { values, shape, axes } = wanted;
  for (const order of permutations([...shape.keys()])) {
    if (!isNear(wanted, got, transposed(values, shape, order))) continue;
    const own = order.map((axis) => axes[axis]).join(", ");
    const text = `transposed: it lies as [${own}], [${axes.join(", ")}] was wanted`;
    return { kind: "order", text };
  }
  return undefined;
}

function asLogarithm(
  wanted: Wanted,
  got: Float64Array,
  { exact: { forward: { maxima } } }: Suspicion,
): Diagnosis | undefined {
  const { name, values } = wanted;
  if (name !== "lse") return undefined;
  const forms: readonly [string, (lse: number, max: number) => number][] = [
    ["without the maximum of its row: ln Σ exp(s − max)", (lse, max) => lse - max],
    ["the maximum of its row", (_, max) => max],
    ["the sum, not its logarithm", (lse) => Math.exp(lse)],
    ["Σ exp(s − max), not the logarithm of Σ exp(s)", (lse, max) => Math.exp(lse - max)],
  ];
  const seen = (n: number) => Number.isFinite(values[n]!);
  const visible = got.filter((_, n) => seen(n));
  const here = { ...wanted, values: values.filter((_, n) => seen(n)) };
  const found = forms.find(([, form]) => {
    const other = values.map((lse, n) => form(lse, maxima[n]!)).filter((_, n) => seen(n));
    return isNear(here, visible, other);
  });
  return found && { kind: "fault", text: found[0] };
}

function asFault(wanted: Wanted, got: Float64Array, suspicion: Suspicion): Diagnosis | undefined {
  const { formula, layout, suspects } = suspicion,
    { order } = placeOf(wanted.name, formula, layout);
  const found = suspects.find(({ computed }) => {
    const has = wanted.name === "out" || wanted.name === "lse" || computed.gradients[wanted.name];
    return has && isNear(wanted, got, order(valuesOf(computed, wanted.name)));
  });
  return found && { kind: "fault", text: `as if ${found.suspect.text}` };
}

/** Where it is off, if that is a part of an axis. */
function elsewhere(wanted: Wanted, got: Float64Array): Diagnosis {
  const { values, shape, axes, allowed, largest } = wanted, off = placesOff(wanted, got);
  const where = axes.flatMap((axis, n) => {
    const stride = shape.slice(n + 1).reduce((a, b) => a * b, 1);
    const found = [...new Set(off.map((place) => Math.floor(place / stride) % shape[n]!))];
    const low = found.reduce((a, b) => Math.min(a, b)),
      high = found.reduce((a, b) => Math.max(a, b));
    if (high - low + 1 > 0.75 * shape[n]!) return [];
    return [low === high ? `${axis} ${low}` : `${axis} ${low} to ${high}`];
  });
  const error = largestDifference(got, values),
    part = where.length ? ` at ${where.join(", ")}` : "";
  const times = `${(error / allowed).toPrecision(3)} times what is allowed`;
  if (error < 0.005 * largest) {
    const share = (error / largest).toExponential(1);
    const text = `off by ${share} of its largest element${part}, ${times}: a matter of precision?`;
    return { kind: "precision", text };
  }
  const text = `off by ${error.toPrecision(3)}${part}, ${times}; ` +
    `its largest element is ${largest.toPrecision(3)}`;
  return { kind: "other", text };
}
