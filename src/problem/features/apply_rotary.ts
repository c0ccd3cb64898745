// Rotating a tensor alone, checked. To backends it is the rotation of a q whose result is shaped like the gradient of q.
import { Complaint, show } from "../../tensor/errors.ts";
import type { AnyTensor } from "../../tensor/tensor.ts";
import { viewOperand } from "../../tensor/view.ts";
import type { Layout, Positions, RotaryAngles } from "../call_options.ts";
import { checkElements, checkLayout, checkNames, refuseIntegers } from "../option_checks.ts";
import type { TurnCall } from "../rotations.ts";
import { ANGLE_NAMES, checkBoolean, parseForm } from "./rotary_form.ts";
import { countedRotation, givenRotation, parsePositions } from "./rotary_positions.ts";

/** What `applyRotary` is asked. */
export interface RotaryCallOptions extends RotaryAngles {
  /** Positions of the rows. Default: their numbers in their sequence. */
  readonly positions?: Positions | undefined;
  /** Turns back what was turned: also the gradient. Default `false`. */
  readonly inverse?: boolean | undefined;
  /** Order of the axes of x. Default `"bshd"`. */
  readonly layout?: Layout | undefined;
}

const KNOWN: ReadonlySet<string> = new Set([
  ...ANGLE_NAMES,
  "positions",
  "inverse",
  "layout",
  "engine",
]);

/** Checks a call. */
export function describeRotary(x: AnyTensor, options: RotaryCallOptions): TurnCall {
  const action = "applyRotary", complaint = new Complaint(action);
  checkNames(options, KNOWN, complaint);
  const layout = checkLayout(options.layout, complaint);
  const view = viewOperand("q", x, layout, complaint, false, "x");
  refuseIntegers(view, "x");
  const [batch, heads, length, headDim] = view.size;
  if (headDim < 1) throw complaint.range(`x has dim ${headDim} but it must be at least 1`);
  checkElements(batch * heads * length * headDim, `x has shape ${show(x.shape)}`, complaint);
  const form = parseForm("", options, headDim, complaint);
  const inverse = checkBoolean("inverse", options.inverse, false, complaint);
  const given = parsePositions("positions", options.positions, { batch, length }, complaint);
  const counts = Array.from({ length: batch }, () => length);
  const rotation = given
    ? givenRotation(form, given, counts, "positions", complaint)
    : countedRotation(form, counts.map((count) => ({ first: 0, count })), "x", complaint);
  return { action, view, layout, rotation, inverse };
}
