// past_key and past_value: what earlier calls left, and what this one leaves to the next.
import { checkElements } from "../problem/option_checks.ts";
import { copyBox } from "../tensor/copy.ts";
import { bits, newArray } from "../tensor/dtype.ts";
import { type Complaint, show } from "../tensor/errors.ts";
import { count, rowMajor } from "../tensor/shape.ts";
import type { Axes, MutableAxes } from "../tensor/view.ts";
import { ofRank4, type Operand, readFloats } from "./operand.ts";
import { checkSame } from "./operands.ts";

/** Keys and values of earlier calls. */
export interface Past {
  readonly k: Operand;
  readonly v: Operand;
}

/** The cache of earlier calls: both of its tensors, or none. */
export function readPast(
  inputs: Readonly<Record<string, unknown>>,
  { k, v }: Past,
  complaint: Complaint,
): Past | undefined {
  const { past_key: key, past_value: value } = inputs;
  if (key === undefined && value === undefined) return undefined;
  if (key === undefined || value === undefined) {
    const [there, missing] = key === undefined
      ? ["past_value", "past_key"]
      : ["past_key", "past_value"];
    throw complaint.type(
      `${missing} is undefined but ${there} is given: both were wanted, or none`,
    );
  }
  const [past, values] = ([["past_key", key], ["past_value", value]] as const).map(
    ([name, given]) => {
      const floats = readFloats(name, given, complaint), { shape } = floats;
      if (shape.length === 4) return ofRank4(name, floats);
      throw complaint.type(
        `${name} has rank ${shape.length}, shape ${show(shape)}, but rank 4, ` +
          "[batch_size, kv_num_heads, past_sequence_length, size], was wanted",
      );
    },
  );
  checkSame(k, past!, [0, 1, 3], true, complaint);
  checkSame(v, values!, [0, 1, 3], true, complaint);
  if (past!.size[2] !== values!.size[2]) {
    throw complaint.range(
      `past_value has past_sequence_length ${values!.size[2]} ` +
        `but past_key has past_sequence_length ${past!.size[2]}`,
    );
  }
  return { k: past!, v: values! };
}

/** The rows of an operand behind those of the past, in an array of their own without gaps. */
export function joined(past: Operand | undefined, current: Operand, complaint: Complaint): Operand {
  const { name, dtype, size: [batch, heads, rows, dim] } = current, before = past?.size[2] ?? 0;
  const size: Axes = [batch, heads, before + rows, dim], n = count(size);
  checkElements(n, `${name} with its past is ${show([...size])}`, complaint);
  const data = newArray(dtype, n, current.data), strides = rowMajor(size) as MutableAxes;
  const copy = ({ data: from, size, strides: apart }: Operand, row: number) =>
    copyBox(
      { array: bits(data), offset: row * dim, strides },
      { array: bits(from), offset: 0, strides: apart },
      size,
    );
  if (past) copy(past, 0);
  copy(current, before);
  return { name, data, dtype, size, strides };
}
