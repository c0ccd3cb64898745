import { type Complaint, show, UnsupportedError } from "../../tensor/errors.ts";
import type { AxisSizes } from "../../tensor/operands.ts";
import type { Rotary } from "../call_options.ts";
import type { Feature, SequenceSpan } from "./feature.ts";
import { ANGLE_NAMES, checkBoolean, parseForm } from "./rotary_form.ts";
import {
  countedRotation,
  type GivenPositions,
  givenRotation,
  parsePositions,
} from "./rotary_positions.ts";
import type { RotaryForm } from "./rotary_table.ts";
import { rotationFrom, type Rotations } from "./row_rotation.ts";

/** What is asked, and once it is settled the rotations of q and k that follow. */
interface RotaryParams {
  readonly form: RotaryForm;
  readonly keys: boolean;
  readonly positionsQ: GivenPositions | undefined;
  readonly positionsK: GivenPositions | undefined;
  readonly rotations: Rotations;
}

const NAMES: readonly string[] = [...ANGLE_NAMES, "positionsQ", "positionsK", "keys"];

function checkNames(rotary: object, complaint: Complaint): void {
  const unknown = Object.keys(rotary).find((key) => !NAMES.includes(key));
  if (unknown === undefined) return;
  throw complaint.type(
    `rotary has the unknown key ${show(unknown)}, wanted one of ${NAMES.join(", ")}`,
  );
}

function parse(
  rotary: Rotary,
  { batch, lengthQ, lengthK, headDim, packed, cached }: AxisSizes,
  complaint: Complaint,
): RotaryParams {
  if (typeof rotary !== "object" || rotary === null) {
    throw complaint.type(`rotary is ${show(rotary)} but must be { ${NAMES.join("?, ")}? }`);
  }
  checkNames(rotary, complaint);
  const turnsKeys = checkBoolean("rotary.keys", rotary.keys, true, complaint);
  if (turnsKeys && cached) {
    throw new UnsupportedError(
      "rotary of the keys of a cache as they are read",
      "any",
      "rotate them as they enter, append(k, v, { rotary }), and pass rotary with keys: false",
    );
  }
  const queries = { batch, length: lengthQ, packed: packed?.queries };
  const keys = { batch, length: lengthK, packed: packed?.keys };
  return {
    form: parseForm("rotary.", rotary, headDim, complaint),
    keys: turnsKeys,
    positionsQ: parsePositions("rotary.positionsQ", rotary.positionsQ, queries, complaint),
    positionsK: parsePositions("rotary.positionsK", rotary.positionsK, keys, complaint),
    rotations: {},
  };
}

/** Keys that turn: those in use, and where hidden pairs are looked at the others too, as far as tables go. */
function turningKeys(
  { form: { tables }, positionsK }: RotaryParams,
  spans: readonly SequenceSpan[],
  { lengthK: room }: AxisSizes,
  hidden: boolean,
): number[] {
  const { values, starts } = positionsK ?? {};
  return spans.map(({ lengthK: count }, b) => {
    if (!hidden || !tables) return hidden ? room : count;
    const positionOf = (row: number) => values ? values[starts![b]! + row]! : row;
    while (count < room && positionOf(count) >= 0 && positionOf(count) < tables.positions) count++;
    return count;
  });
}

/** Keys count from 0 in their sequence, queries so that the last one is where the last key in use is. */
function settle(
  params: RotaryParams,
  spans: readonly SequenceSpan[],
  keyCounts: readonly number[],
  complaint: Complaint,
): RotaryParams {
  const { form, keys, positionsQ, positionsK } = params;
  const queries = spans.map(({ lengthQ, lengthK }) => ({
    first: lengthK - lengthQ,
    count: lengthQ,
  }));
  const q = positionsQ
    ? givenRotation(
      form,
      positionsQ,
      queries.map(({ count }) => count),
      "rotary.positionsQ",
      complaint,
    )
    : countedRotation(form, queries, "q", complaint);
  if (!keys) return { ...params, rotations: { q } };
  const k = positionsK
    ? givenRotation(form, positionsK, keyCounts, "rotary.positionsK", complaint)
    : countedRotation(form, keyCounts.map((count) => ({ first: 0, count })), "k", complaint);
  return { ...params, rotations: { q, k } };
}

/** Rotary positions: pairs of columns of q and k turn by angles that grow with the position. */
export const rotary: Feature<RotaryParams> = {
  name: "rotary",
  stage: "load",
  source: "Su et al. 2021 (RoFormer), GPT-NeoX, GPT-J, FlashAttention rotary_cos",
  elsewhere: ["rotaryCos", "rotary_cos", "rotary_sin", "rotary_interleaved", "rope", "rope_theta"],
  perScore: false,
  parse: ({ rotary }, dims, complaint) =>
    rotary === undefined ? undefined : parse(rotary, dims, complaint),
  settle: (params, spans, dims, hidden, complaint) =>
    settle(params, spans, turningKeys(params, spans, dims, hidden), complaint),
  rotations: ({ rotations }) => rotations,
  within: ({ rotations: { q, k }, ...params }, { queryBegin, keyBegin }) => ({
    ...params,
    rotations: {
      ...q && { q: rotationFrom(q, queryBegin) },
      ...k && { k: rotationFrom(k, keyBegin) },
    },
  }),
};
