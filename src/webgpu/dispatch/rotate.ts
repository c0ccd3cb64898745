// Dispatches that rotate rows: operands into scratch, where attention then reads them, and their gradients in place.
import type { ParamValues } from "../../../shaders/features/params.ts";
import { rotateShader, type RotateShape } from "../../../shaders/kernels/rotate.ts";
import { kindName } from "../../../shaders/parts/storage.ts";
import { rotationOf } from "../../problem/rotations.ts";
import {
  follows,
  type GradientName,
  gradientsOf,
  type OperandName,
  OPERANDS,
} from "../../tensor/operands.ts";
import { address, type Bound, bound, type Step } from "./dispatch.ts";
import { elementwise } from "./elementwise.ts";
import type { RegionCall } from "./region_call.ts";
import type { TurningPart } from "./turned_rows.ts";
import { type BufferView, storageKind } from "./views.ts";

/** What a dispatch turns. */
interface Turn {
  readonly shape: RotateShape;
  readonly part: TurningPart;
  /** Where the operand lies; undefined: the target turns in place. */
  readonly source: BufferView | undefined;
  readonly target: BufferView;
  readonly rotations: Bound;
}

/** One dispatch. */
export function turnStep({ shape, part, source, target, rotations }: Turn): Step {
  const { batch, heads, rows, headDim } = part,
    { target: name, interleaved, inverse } = shape;
  const count = batch * heads * rows * Math.ceil(headDim / 2), input = OPERANDS[name].gradientOf!;
  const what = shape.source ? `${input} ${kindName({ ...shape.source, scalar: true })}` : name;
  const form = `${interleaved ? "neighbours" : "halves"}${inverse ? " inverse" : ""}`;
  const sizes: ParamValues = follows(name) === "keys"
    ? { length_k: rows }
    : { length_q: rows, group: 1 };
  return {
    kernel: { key: `rotate ${what} ${form}`, code: () => rotateShader(shape) },
    bindings: { rotations, [name]: bound(target), ...(source && { [input]: bound(source) }) },
    params: {
      ...{ ...sizes, kv_heads: heads, head_dim: headDim, count },
      ...(source && address(input, source)),
      ...address(name, target),
    },
    ...elementwise(count),
    flops: 6 * count,
  };
}

/** Turns an operand of a region, or its gradient back. */
export function rotateStep(r: RegionCall, of: OperandName): Step {
  const { call, region } = r, input = OPERANDS[of].gradientOf ?? of, back = input !== of;
  const { interleaved } = rotationOf(call.problem, input)!, view = call.views[input]!;
  const [target] = gradientsOf({ [input]: view }) as [GradientName];
  return turnStep({
    shape: {
      ...{ target, interleaved, inverse: back },
      source: back ? undefined : storageKind(view),
    },
    part: call.turned.part(input, region),
    source: back ? undefined : call.inputs.of(view, region),
    target: back ? r.result(of) : r.input(input),
    rotations: call.turned.table(input, region),
  });
}
