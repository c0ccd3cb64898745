// Rotation of rows as they enter a cache: by the numbers that they get there, or by positions of the caller's.
import { type Complaint, show } from "../../tensor/errors.ts";
import type { View } from "../../tensor/view.ts";
import type { Positions, RotaryAngles } from "../call_options.ts";
import { ANGLE_NAMES, parseForm } from "./rotary_form.ts";
import { givenRotation, parsePositions } from "./rotary_positions.ts";
import type { RowRotation } from "./row_rotation.ts";

/** How `cache.append` rotates k. */
export interface AppendRotary extends RotaryAngles {
  /** Positions of the rows of k. Default: the numbers that they get in their sequences. */
  readonly positions?: Positions | undefined;
}

const NAMES: readonly string[] = [...ANGLE_NAMES, "positions"];

/** The rotation of k, whose rows get these numbers, one sequence after the other; throws where options are wrong. */
export function appendRotation(
  rotary: AppendRotary,
  { size: [batch, , length, headDim] }: View,
  numbers: Int32Array,
  complaint: Complaint,
): RowRotation {
  if (typeof rotary !== "object" || rotary === null) {
    throw complaint.type(`rotary is ${show(rotary)} but must be { ${NAMES.join("?, ")}? }`);
  }
  const unknown = Object.keys(rotary).find((key) => !NAMES.includes(key));
  if (unknown !== undefined) {
    throw complaint.type(
      `rotary has the unknown key ${show(unknown)}, wanted one of ${NAMES.join(", ")}`,
    );
  }
  const form = parseForm("rotary.", rotary, headDim, complaint), rows = { batch, length };
  const given = parsePositions("rotary.positions", rotary.positions, rows, complaint);
  const starts = Array.from({ length: batch }, (_, n) => n * length);
  const counts = starts.map(() => numbers.length / batch);
  const positions = given ?? { values: numbers, starts: counts.map((count, n) => n * count) };
  return givenRotation(form, positions, counts, "rotary.positions", complaint);
}
