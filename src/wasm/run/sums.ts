// Gradients that are summed over several pieces of work: each region has accumulators of its own, and the host
// adds them up region by region, so that every sum has one order.
import { follows, type OperandName, OPERANDS } from "../../tensor/operands.ts";
import { count } from "../../tensor/shape.ts";
import { type Axes, forAxes, placeOf } from "../../tensor/view.ts";
import type { Pieces } from "../memory/pieces.ts";
import type { ResultView } from "../memory/results.ts";

/** Elements that are added between two pauses: about a millisecond. */
const PIECE = 2 ** 19;

/** Accumulators of a region: where they begin in the result, and how they lie in `values`. */
export interface Accumulators {
  readonly values: () => ArrayLike<number>;
  readonly begin: Axes;
  readonly size: Axes;
  readonly strides: Axes;
}

/** The sums of one call. */
export class Sums {
  readonly #sums = new Map<OperandName, Float32Array | Float64Array>();

  constructor(results: readonly ResultView[]) {
    for (const { name, size } of results) {
      if (!OPERANDS[name].summed) continue;
      // a number for a head has terms of all its pairs
      const Sum = follows(name) === "heads" ? Float64Array : Float32Array;
      this.#sums.set(name, new Sum(count(size)));
    }
  }

  /** Whether the call has no sums. */
  get none(): boolean {
    return this.#sums.size === 0;
  }

  /** Adds accumulators to a result, with pauses; axes that it lacks are summed over. */
  *add({ name, size, strides }: ResultView, from: Accumulators): Pieces {
    const sums = this.#sums.get(name)!;
    const to = forAxes((axis) => size[axis] === 1 ? 0 : strides[axis]);
    const [batches, heads, rows, columns] = from.size;
    let values = from.values(), added = 0;
    for (let b = 0; b < batches; b++) {
      for (let h = 0; h < heads; h++) {
        for (let r = 0; r < rows; r++) {
          const row: Axes = [b, h, r, 0], source = placeOf(row, from.strides);
          const start = placeOf(row, to) + placeOf(from.begin, to);
          for (let k = 0; k < columns; k++) sums[start + k * to[3]]! += values[source + k]!;
          if ((added += columns) < PIECE) continue;
          yield "work";
          [values, added] = [from.values(), 0];
        }
      }
    }
  }

  /** What a result has summed up to; undefined where it is no sum. */
  of(name: OperandName): Float32Array | Float64Array | undefined {
    return this.#sums.get(name);
  }
}
