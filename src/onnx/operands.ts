// Q, K and V against each other and the attributes.
import { type Complaint, show } from "../tensor/errors.ts";
import type { Attributes } from "./attributes.ts";
import { type Floats, ofRank3, ofRank4, type Operand, readFloats } from "./operand.ts";

/** Axes of a rank 4 operand as the operator names them. */
const AXES = {
  Q: ["batch_size", "q_num_heads", "q_sequence_length", "head_size"],
  K: ["batch_size", "kv_num_heads", "kv_sequence_length", "head_size"],
  V: ["batch_size", "kv_num_heads", "kv_sequence_length", "v_head_size"],
} as const;

/** Q, K and V, checked by themselves. */
export interface Operands {
  /** Theirs, and that of Y. */
  readonly rank: 3 | 4;
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
}

/** The number of heads of an operand of rank 3, or a check of that of rank 4. */
function withHeads(
  name: "Q" | "K" | "V",
  floats: Floats,
  { queryHeads, kvHeads }: Attributes,
  complaint: Complaint,
): Operand {
  const attribute = AXES[name][1], heads = name === "Q" ? queryHeads : kvHeads;
  const given = `${name}, shape ${show(floats.shape)},`;
  if (floats.shape.length === 3) {
    if (heads !== undefined) return ofRank3(name, floats, attribute, heads, complaint);
    throw complaint.type(`attribute ${attribute} is undefined but ${given} of rank 3 needs it`);
  }
  const operand = ofRank4(name, floats);
  if (heads !== undefined && heads !== operand.size[1]) {
    throw complaint.range(
      `attribute ${attribute} is ${heads} but ${given} has ${operand.size[1]} heads`,
    );
  }
  return operand;
}

/** Q, K and V, each by itself, of one rank. */
export function readOperands(
  inputs: Readonly<Record<string, unknown>>,
  attributes: Attributes,
  complaint: Complaint,
): Operands {
  const floats = (["Q", "K", "V"] as const).map((name) => {
    const one = readFloats(name, inputs[name], complaint), rank = one.shape.length;
    if (rank !== 3 && rank !== 4) {
      const wanted = `rank 4, [${AXES[name].join(", ")}], or rank 3, heads and size in one axis,`;
      throw complaint.type(
        `${name} has rank ${rank}, shape ${show(one.shape)}, but ${wanted} was wanted`,
      );
    }
    return [name, one] as const;
  });
  const rank = floats[0]![1].shape.length as 3 | 4;
  for (const [name, { shape }] of floats) {
    if (shape.length === rank) continue;
    throw complaint.type(
      `${name} has rank ${shape.length}, shape ${show(shape)}, but Q has rank ${rank}: ` +
        "one rank was wanted",
    );
  }
  const [q, k, v] = floats.map(([name, one]) => withHeads(name, one, attributes, complaint));
  return { rank, q: q!, k: k!, v: v! };
}

/** Throws unless two operands agree along axes, or in their types. */
export function checkSame(
  a: Operand,
  b: Operand,
  axes: readonly (0 | 1 | 2 | 3)[],
  sameType: boolean,
  complaint: Complaint,
): void {
  const names = AXES[a.name as keyof typeof AXES];
  for (const axis of axes) {
    if (a.size[axis] === b.size[axis]) continue;
    const has = ({ name, size }: Operand) => `${name} has ${names[axis]} ${size[axis]}`;
    throw complaint.range(`${has(b)} but ${has(a)}`);
  }
  if (sameType && a.dtype !== b.dtype) {
    throw complaint.type(
      `${b.name} has dtype ${show(b.dtype)} but ${a.name} has dtype ${show(a.dtype)}: ` +
        "one type was wanted",
    );
  }
}

/** Throws unless the three fit together. */
export function checkOperands({ q, k, v }: Operands, complaint: Complaint): void {
  checkSame(q, k, [0, 3], true, complaint);
  checkSame(k, v, [0, 1, 2], false, complaint);
  for (const { name, size } of [q, v]) {
    if (size[3] >= 1) continue;
    const axis = AXES[name as "Q" | "V"][3];
    throw complaint.range(`${name} has ${axis} 0 but it must be at least 1`);
  }
  const heads = q.size[1], kvHeads = k.size[1];
  if (kvHeads === 0 ? heads !== 0 : heads % kvHeads !== 0) {
    throw complaint.range(
      `Q has q_num_heads ${heads} but it must be a multiple of the kv_num_heads ${kvHeads} of K`,
    );
  }
}
