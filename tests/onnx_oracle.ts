/**
 * What the ONNX operator must give, written down from its specification: everything that hides is one dense matrix that is
 * added to the scores, as the specification has it. Knows nothing of how the library says the same.
 */

import type {
  OnnxAttentionAttributes,
  OnnxAttentionInputs,
  OnnxOpset,
  OnnxOutputName,
} from "../src/onnx.ts";
import { encode, type StorageType } from "./half.ts";
import { expectInside } from "./inside_cases.ts";
import type { Inputs } from "./inputs.ts";
import { dtypeOf, expectForward } from "./oracle.ts";
import { readPacked, type TestTensor } from "./reference/problem.ts";
import type { Expected } from "./tolerance.ts";

/** An output with its shape. */
export interface ExpectedOutput extends Expected {
  readonly shape: readonly number[];
}

type Attributes = { readonly [name in keyof OnnxAttentionAttributes]?: number };
type Size = readonly [batch: number, heads: number, rows: number, dim: number];

/** A tensor as [batch, heads, rows, dim], packed. */
interface Rows {
  readonly size: Size;
  readonly values: Float64Array;
}

/** Numbers of [batch, heads, rows, dim], from whichever rank they came in. */
function rowsOf(tensor: TestTensor, heads: number | undefined): Rows {
  const values = readPacked(tensor), { shape } = tensor;
  if (shape.length === 4) return { size: shape as unknown as Size, values };
  const [batch, rows, width] = shape as [number, number, number], dim = width / heads!;
  const turned = new Float64Array(values.length);
  values.forEach((x, n) => {
    const [d, h, i] = [n % dim, Math.floor(n / dim) % heads!, Math.floor(n / width) % rows];
    turned[((Math.floor(n / width / rows) * heads! + h) * rows + i) * dim + d] = x;
  });
  return { size: [batch, heads!, rows, dim], values: turned };
}

/** The past with what came after it. */
function following(past: Rows | undefined, { size, values }: Rows): Rows {
  if (!past) return { size, values };
  const [batch, heads, added, dim] = size, rows = past.size[2] + added, joined: number[] = [];
  for (let plane = 0; plane < batch * heads; plane++) {
    for (const part of [past, { size, values }]) {
      const n = part.size[2] * dim;
      joined.push(...part.values.subarray(plane * n, (plane + 1) * n));
    }
  }
  return { size: [batch, heads, rows, dim], values: Float64Array.from(joined) };
}

/** What is added to the score of a pair: 0 shows it, minus infinity hides it, a number changes it. */
function additive(
  { attn_mask: mask, past_key, nonpad_kv_seqlen: given }: OnnxAttentionInputs,
  { is_causal = 0 }: Attributes,
  opset: OnnxOpset,
  [batch, heads, rows, keys]: Size,
): TestTensor {
  const counts = given && Array.from("data" in given ? given.data : given, Number);
  const shape = mask ? [1, 1, 1, 1, ...mask.shape].slice(-4) : [];
  const bytes = mask?.data instanceof Uint8Array;
  const values = !mask
    ? undefined
    : bytes
    ? Float64Array.from(mask.data as Uint8Array, (byte) => byte ? 0 : -Infinity)
    : readPacked(mask as TestTensor);
  const data = new Float32Array(batch * heads * rows * keys).map((_, n) => {
    const index = [Math.floor(n / keys / rows / heads), Math.floor(n / keys / rows) % heads];
    const [i, j] = [Math.floor(n / keys) % rows, n % keys], b = index[0]!;
    const offset = counts ? counts[b]! - rows : past_key?.shape[2] ?? 0;
    if ((is_causal && j > i + offset) || (counts && j >= counts[b]!)) return -Infinity;
    if (!values) return 0;
    if (opset === 24 && j >= shape[3]!) return -Infinity;
    const at = [...index, i, j].reduce(
      (at, x, axis) => at * shape[axis]! + (shape[axis] === 1 ? 0 : x),
      0,
    );
    return values[at]!;
  });
  return { data, shape: [batch, heads, rows, keys] };
}

const float = ({ size, values }: Rows): TestTensor => ({
  data: encode(values, "f32"),
  shape: size,
});

/** Y as it is returned: of rank 3 where Q is. */
function turnedBack(values: Float64Array, [, heads, rows, dim]: Size): Float64Array {
  return values.map((_, n) => {
    const [d, h, i] = [n % dim, Math.floor(n / dim) % heads, Math.floor(n / dim / heads) % rows];
    const b = Math.floor(n / dim / heads / rows);
    return values[((b * heads + h) * rows + i) * dim + d]!;
  });
}

const STAGES = ["raw", "softcapped", "masked", "probabilities"] as const;

/** Every output of a call. */
export function expectOnnx(
  inputs: OnnxAttentionInputs,
  attributes: Attributes,
  opset: OnnxOpset,
): Readonly<Record<OnnxOutputName, ExpectedOutput>> {
  const { q_num_heads: heads, kv_num_heads: kvHeads, scale, softcap } = attributes;
  const given = inputs as unknown as Readonly<Record<string, TestTensor | undefined>>;
  const q = rowsOf(given["Q"]!, heads);
  const past = (name: string) => given[name] && rowsOf(given[name]!, undefined);
  const k = following(past("past_key"), rowsOf(given["K"]!, kvHeads));
  const v = following(past("past_value"), rowsOf(given["V"]!, kvHeads));
  const pairs = [q.size[0], q.size[1], q.size[2], k.size[2]] as const;
  const problem: Inputs = {
    ...{ name: "onnx", seed: 0, q: float(q), k: float(k), v: float(v), dOut: float(v) },
    options: {
      layout: "bhsd",
      bias: additive(inputs, attributes, opset, pairs),
      ...(scale === undefined ? {} : { softmaxScale: scale }),
      ...(softcap ? { softcap } : {}),
    },
  };
  const { out } = expectForward(problem), { scores } = expectInside(problem);
  const size: Size = [pairs[0], pairs[1], pairs[2], v.size[3]];
  const rank3 = given["Q"]!.shape.length === 3, dtype = dtypeOf(given["Q"]!);
  const present = ({ size, values }: Rows, dtype: StorageType): ExpectedOutput => ({
    ...{ shape: size, values, dtype, bound: 0 },
  });
  return {
    Y: rank3
      ? {
        ...{ ...out, dtype, shape: [size[0], size[2], size[1] * size[3]] },
        values: turnedBack(out.values, size),
      }
      : { ...out, dtype, shape: size },
    present_key: present(k, dtypeOf(given["K"]!)),
    present_value: present(v, dtypeOf(given["V"]!)),
    qk_matmul_output: {
      ...scores[STAGES[attributes.qk_matmul_output_mode ?? 0]!],
      ...{ dtype, shape: pairs },
    },
  };
}
