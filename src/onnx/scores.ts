// qk_matmul_output: the matrix of scores, made because it was asked for.
import { attentionScores } from "../inside.ts";
import type { AttentionOptions } from "../options.ts";
import { checkElements } from "../problem/option_checks.ts";
import type { ScoreStage } from "../problem/inside_options.ts";
import { copyBox } from "../tensor/copy.ts";
import { narrowed } from "../tensor/convert.ts";
import { bits, newArray } from "../tensor/dtype.ts";
import { type Complaint, show } from "../tensor/errors.ts";
import type { HostTensor } from "../tensor/tensor.ts";
import { count, rowMajor } from "../tensor/shape.ts";
import type { Axes, MutableAxes } from "../tensor/view.ts";
import type { Operand } from "./operand.ts";

/** What is asked: a stage of a call to `attention`. */
export interface ScoresCall {
  readonly stage: ScoreStage;
  readonly q: HostTensor;
  /** All keys, and those that the mask tells about. */
  readonly allKeys: HostTensor;
  readonly shownKeys: HostTensor;
  readonly options: AttentionOptions;
  /** Of that call, where there was one. */
  readonly lse: HostTensor | undefined;
}

/** The shape of `qk_matmul_output`. */
const matmulShape = ({ size }: Operand, keys: number): number[] => [...size.slice(0, 3), keys];

/** Throws where `qk_matmul_output` is larger than anything that could hold it. */
export function checkMatrix(q: Operand, keys: number, complaint: Complaint): void {
  const shape = matmulShape(q, keys);
  checkElements(count(shape), `qk_matmul_output is ${show(shape)}`, complaint);
}

/** Scores with columns for all keys: what lies behind those of the mask is hidden. */
function widened(
  scores: HostTensor<Float32Array>,
  keys: number,
  hidden: number,
): HostTensor<Float32Array> {
  const [batch, heads, rows, shown] = scores.shape as unknown as Axes;
  if (shown === keys) return scores;
  const shape = [batch, heads, rows, keys], data = new Float32Array(count(shape)).fill(hidden);
  copyBox(
    { array: data, offset: 0, strides: rowMajor(shape) as MutableAxes },
    { array: scores.data, offset: 0, strides: rowMajor(scores.shape) as MutableAxes },
    [batch, heads, rows, shown],
  );
  return { data, shape };
}

/** The scores in float32, for every key. */
async function scoresOf(
  { stage, q, allKeys, shownKeys, options, lse }: ScoresCall,
  keys: number,
): Promise<HostTensor<Float32Array>> {
  const { layout, softmaxScale, softcap, engine, signal } = options;
  const run = { layout, softmaxScale, engine, signal, stage };
  const scores = (tensor: HostTensor, more: AttentionOptions) =>
    attentionScores<HostTensor>(q, tensor, { ...run, ...more });
  switch (stage) {
    case "raw":
      return await scores(allKeys, {});
    case "softcapped":
      return await scores(allKeys, { softcap });
    case "masked":
      return widened(await scores(shownKeys, options), keys, -Infinity);
    case "probabilities":
      return widened(
        await attentionScores<HostTensor>(q, shownKeys, { ...options, stage, lse }),
        keys,
        0,
      );
  }
}

/** `qk_matmul_output` of `like`, which is Q, with so many keys: in its type. */
export async function matmulOutput(
  call: ScoresCall,
  like: Operand,
  keys: number,
): Promise<HostTensor> {
  const shape = matmulShape(like, keys);
  const { data: values } = await scoresOf(call, keys), { dtype } = like;
  if (dtype === "f32") return { data: values, shape, dtype };
  const data = newArray(dtype, values.length, like.data);
  bits(data).set(narrowed(values, dtype));
  return { data, shape, dtype };
}
