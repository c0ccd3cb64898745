// Results of a problem: what is wanted, how far from it a result may be, and what was returned.
import type { Layout } from "../problem/call_options.ts";
import { arrayKind } from "../tensor/dtype.ts";
import { show } from "../tensor/errors.ts";
import {
  type Arithmetic,
  FLOAT64,
  type Formula,
  forwardOf,
  type ForwardResults,
} from "./formula.ts";
import type { GivenNumbers, GivenResult } from "./given.ts";
import { type GradientName, type Gradients, gradientsOf, largestOf } from "./gradients.ts";
import { inLayout, reordered, storedAs } from "./inputs.ts";
import type { Settings, StorageName } from "./settings.ts";

/** Names of what is compared. */
export type ResultName = "out" | "lse" | GradientName;

/** What a result must be, in the order of axes in which it is returned. */
export interface Wanted {
  readonly name: ResultName;
  readonly values: Float64Array;
  readonly shape: readonly number[];
  /** What the axes are. */
  readonly axes: readonly string[];
  /** Largest error of the plain formula in float32. */
  readonly plainError: number;
  /** The error that is allowed. */
  readonly allowed: number;
  /** The size of the largest element. */
  readonly largest: number;
}

/** Half of a unit in the last place, relative. */
const HALF_UNIT: Readonly<Record<StorageName, number>> = {
  f32: 2 ** -24,
  f16: 2 ** -11,
  bf16: 2 ** -8,
};

/** float32, with results in the storage type. */
export function plainArithmetic(storage: StorageName): Arithmetic {
  return { round: Math.fround, stored: (values) => storedAs(values, storage) };
}

interface Placed {
  readonly shape: readonly number[];
  readonly axes: readonly string[];
  /** Values of [batch, head, row, ...] in the order of `shape`; `back`: the other way round. */
  order(values: Float64Array, back?: boolean): Float64Array;
}

const AXES = {
  query: ["batch", "head", "query", "dim"],
  key: ["batch", "head", "key", "dim"],
} as const;

/** How a result lies. */
export function placeOf(name: ResultName, formula: Formula, layout: Layout): Placed {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim, bias } = formula;
  const rows = (
    side: "query" | "key",
    heads: number,
    length: number,
    dim: number,
  ): Placed => {
    const sizes = [batch, heads, length, dim] as const;
    return {
      shape: inLayout(sizes, layout),
      axes: inLayout<string>(AXES[side], layout),
      order: (values, back) => reordered(values, sizes, layout, back),
    };
  };
  const asIs = (shape: readonly number[], axes: readonly string[]): Placed => ({
    ...{ shape, axes },
    order: (values) => values,
  });
  switch (name) {
    case "out":
      return rows("query", queryHeads, lengthQ, valueDim);
    case "dq":
      return rows("query", queryHeads, lengthQ, headDim);
    case "dk":
      return rows("key", kvHeads, lengthK, headDim);
    case "dv":
      return rows("key", kvHeads, lengthK, valueDim);
    case "lse":
      return asIs([batch, queryHeads, lengthQ], ["batch", "head", "query"]);
    case "dBias":
      return asIs(bias!.shape, ["batch", "head", "query", "key"]);
    default:
      return asIs([queryHeads], ["head"]);
  }
}

/** The largest difference of elements that are finite. */
export function largestDifference(a: Float64Array, b: Float64Array): number {
  return a.reduce((worst, x, n) => {
    const difference = Math.abs(x - b[n]!);
    return difference > worst && Number.isFinite(difference) ? difference : worst;
  }, 0);
}

/** Both passes of a formula. */
export interface Computed {
  readonly forward: ForwardResults;
  readonly gradients: Gradients;
}

/** Both passes. */
export function compute(formula: Formula, arithmetic: Arithmetic): Computed {
  return { forward: forwardOf(formula, arithmetic), gradients: gradientsOf(formula, arithmetic) };
}

/** The values of a result by its name. */
export function valuesOf({ forward, gradients }: Computed, name: ResultName): Float64Array {
  return name === "out" || name === "lse" ? forward[name] : gradients[name]!.values;
}

/** Every result of a problem as it must be. */
export function wantedResults(
  formula: Formula,
  exact: Computed,
  { tolerance, layout, storage }: Pick<Settings, "tolerance" | "layout" | "storage">,
): Wanted[] {
  const plain = compute(formula, plainArithmetic(storage));
  // and so is one of the scores and of lse, which weights are made of
  const ofScores = 1 + largestOf(exact.forward.lse.filter(Number.isFinite)) / 2;
  const names: ResultName[] = ["out", "lse", ...Object.keys(exact.gradients) as GradientName[]];
  return names.map((name) => {
    const values = valuesOf(exact, name), { shape, axes, order } = placeOf(name, formula, layout);
    const finite = values.filter(Number.isFinite), largest = largestOf(finite);
    // the plain formula may be exact by luck: a rounding of each term is always allowed
    const terms = name === "out"
      ? largestOf(formula.v)
      : name === "lse"
      ? 1 + largest
      : exact.gradients[name]!.size;
    const floor = HALF_UNIT.f32 * terms * ofScores +
      HALF_UNIT[name === "lse" ? "f32" : storage] * largest;
    const plainError = largestDifference(valuesOf(plain, name), values);
    const allowed = tolerance * Math.max(plainError, floor);
    return { name, values: order(values), shape, axes, plainError, allowed, largest };
  });
}

/** float64, for those who compare with something else. */
export function exactResults(formula: Formula): Computed {
  return compute(formula, FLOAT64);
}

/** The numbers of a returned result, or what is wrong with it. */
export async function readResult(
  given: GivenResult | undefined,
  { name, values, shape }: Pick<Wanted, "name" | "values" | "shape">,
  { batch, queryHeads, kvHeads, lengthQ, lengthK }: Formula,
): Promise<Float64Array | string> {
  if (given === undefined || given === null) return "missing";
  const data: unknown = typeof given !== "object"
    ? given
    : "data" in given
    ? given.data
    : "read" in given && typeof given.read === "function"
    ? await given.read("f32")
    : given;
  const kind = arrayKind(data);
  const isNumbers = Array.isArray(data) || ["Float32Array", "Float64Array", "Float16Array"]
    .includes(kind ?? "");
  if (!isNumbers) return `${show(data)} but must be an array of numbers`;
  const numbers = data as GivenNumbers, wanted = show(shape);
  if (numbers.length !== values.length) {
    const repeats = (name === "dk" || name === "dv") &&
        numbers.length === values.length * queryHeads / kvHeads
      ? ": those of the query heads of a group must be summed up"
      : name === "dBias" && numbers.length === batch * queryHeads * lengthQ * lengthK
      ? ": it must be summed up over the axes that bias repeats"
      : "";
    return `${numbers.length} elements but must be ${values.length}, ${wanted}${repeats}`;
  }
  const own = "shape" in given ? given.shape : undefined;
  if (own !== undefined && `${[...own]}` !== `${shape}`) {
    return `of shape ${show([...own])} but must be of ${wanted}`;
  }
  return Float64Array.from(numbers);
}
