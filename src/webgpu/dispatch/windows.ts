// Windows of results: where a call is too large for the memory of the device, it makes its results part by part. A part
// is read back when it is finished and brought to its place on the host, where the shares of regions are added up.
import { type AttentionProblem, CALL_NAMES, type Views } from "../../problem/problem.ts";
import { checkDestination } from "../../backend/backend.ts";
import { hostResult, type ResultSpec } from "../../problem/results.ts";
import type { PlannedRegion } from "../../plan/webgpu/plan.ts";
import { isSparse } from "../../plan/sequences.ts";
import { narrowed } from "../../tensor/convert.ts";
import { addBox, copyBox, type Side } from "../../tensor/copy.ts";
import { bits, type DType } from "../../tensor/dtype.ts";
import { follows, type OperandName, OPERANDS, STATISTIC_NAMES } from "../../tensor/operands.ts";
import { rowsOf } from "../../tensor/rows.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { count, rowMajor } from "../../tensor/shape.ts";
import { type Axes, forAxes, placeOf, type View } from "../../tensor/view.ts";
import { elementRange, rangesOf } from "./views.ts";

/** Whether a result is made in windows: what stays on the device is whole, and so are numbers of heads, which are few. */
export function isWindow({ name, resident }: Pick<ResultSpec, "name" | "resident">): boolean {
  return !resident && follows(name) !== "heads";
}

/** Whether a window lives while the keys of its rows change, and not only for one region. */
export function followsRows(name: OperandName): boolean {
  return follows(name) === "queries";
}

/** A window, with what was made in it. */
export interface WindowPart {
  readonly spec: ResultSpec;
  readonly region: PlannedRegion;
  readonly values: Float32Array;
}

/** The host's side of results that are made in windows. */
export class HostWindows {
  readonly #group: number;
  readonly #tensors = new Map<OperandName, { tensor: HostTensor; strides: Axes; into?: View }>();
  /** Sums of shares of results that are no f32. */
  readonly #sums = new Map<OperandName, Float32Array>();
  readonly #problem: AttentionProblem;

  constructor(problem: AttentionProblem, specs: readonly ResultSpec[], into: Views = {}) {
    this.#problem = problem;
    this.#group = problem.queryHeads / Math.max(1, problem.kvHeads);
    for (const spec of specs.filter(isWindow)) {
      const given = into[spec.name];
      const place = given
        ? { tensor: given.tensor as HostTensor, strides: given.strides, into: given }
        : { tensor: hostResult(spec), strides: spec.strides };
      this.#tensors.set(spec.name, place);
      if (isSparse(problem)) fillRows(spec, place, spec.name === "lse" ? -Infinity : 0);
    }
  }

  /** The elements of a window. */
  static range(
    spec: ResultSpec,
    region: PlannedRegion,
    group: number,
  ): { first: number; count: number } {
    return elementRange(spec.name, spec, region, group);
  }

  /** Brings a finished part to its place. */
  put({ spec, region, values }: WindowPart): void {
    const { name } = spec, { tensor, strides } = this.#tensors.get(name)!;
    const ranges = rangesOf(name, spec, region, this.#group);
    const begin = forAxes((axis) => ranges[axis]![0]);
    const size = forAxes((axis) => ranges[axis]![1] - ranges[axis]![0]);
    if (size.some((n) => n === 0)) return;
    const source: Side = { array: values, offset: 0, strides: spec.strides };
    const shared = OPERANDS[name].summed || (follows(name) === "keys" && this.#isBackward);
    const narrow = spec.dtype === "f16" || spec.dtype === "bf16";
    if (!narrow) {
      const array = bits(tensor.data), target = { array, offset: placeOf(begin, strides), strides };
      return (shared && this.#adds(name, region) ? addBox : copyBox)(target, source, size);
    }
    if (shared) return this.#addNarrow(spec, begin, size, source, region);
    this.#narrow(spec, begin, size, source);
  }

  get #isBackward(): boolean {
    return this.#problem.pass === "backward";
  }

  /** Whether an earlier region had some of the same elements. */
  #adds(name: OperandName, region: PlannedRegion): boolean {
    return OPERANDS[name].summed === true || region.moreRows;
  }

  /** Adds a share in f32; what is complete is narrowed. */
  #addNarrow(spec: ResultSpec, begin: Axes, size: Axes, source: Side, region: PlannedRegion): void {
    const dense = rowMajor(spec.size) as unknown as Axes;
    let sums = this.#sums.get(spec.name);
    if (!sums) this.#sums.set(spec.name, sums = new Float32Array(count(spec.size)));
    const target: Side = { array: sums, offset: placeOf(begin, dense), strides: dense };
    (this.#adds(spec.name, region) ? addBox : copyBox)(target, source, size);
    if (OPERANDS[spec.name].summed || !region.lastRows) return; // others come, or it is done in the end
    this.#narrow(spec, begin, size, target);
  }

  #narrow({ name, dtype }: ResultSpec, begin: Axes, size: Axes, source: Side): void {
    const { tensor, strides } = this.#tensors.get(name)!, dense = rowMajor(size) as unknown as Axes;
    const wide = new Float32Array(count(size)), zero = { offset: 0, strides: dense };
    copyBox({ array: wide, ...zero }, source, size);
    const target = { array: bits(tensor.data), offset: placeOf(begin, strides), strides };
    copyBox(target, { array: narrowed(wide, dtype as DType), ...zero }, size);
  }

  /** The results, once all parts are there. */
  finish(specs: readonly ResultSpec[]): ReadonlyMap<OperandName, HostTensor> {
    for (const spec of specs) {
      const sums = OPERANDS[spec.name].summed && this.#sums.get(spec.name);
      if (!sums) continue;
      const strides = rowMajor(spec.size) as unknown as Axes;
      this.#narrow(spec, [0, 0, 0, 0], spec.size, { array: sums, offset: 0, strides });
    }
    for (const { into } of this.#tensors.values()) {
      if (into) checkDestination(into, CALL_NAMES[this.#problem.pass]);
    }
    return new Map([...this.#tensors].map(([name, { tensor }]) => [name, tensor]));
  }
}

/** Gives every element of a result a value, and nothing between them. */
function fillRows(
  spec: ResultSpec,
  { tensor, strides, into }: { tensor: HostTensor; strides: Axes; into?: View },
  value: number,
): void {
  if (!into && value === 0) return; // a new array
  const all = bits(tensor.data), view = { size: spec.size, strides };
  for (const at of rowsOf(view)) all.fill(value, at, at + spec.size[3]);
}

/** One statistic of rows, from the four floats that each has. */
export function componentOf(rows: Float32Array, name: OperandName): Float32Array {
  const component = STATISTIC_NAMES.indexOf(name as (typeof STATISTIC_NAMES)[number]);
  return Float32Array.from({ length: rows.length / 4 }, (_, n) => rows[4 * n + component]!);
}
