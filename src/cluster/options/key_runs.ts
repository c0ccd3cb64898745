// A run of keys: options and tensors so that its queries see of it what they see of it in the whole call.
import { partOfSpan, type SequenceSpan, UNBOUNDED } from "../../problem/features/feature.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { Run } from "../split.ts";
import { sliceAxis } from "../wire/slices.ts";
import { axesOf, type Operand, plainList, type RunPlan, sliceOf, type SplitCall } from "./parts.ts";
import { keysOfRun, rotaryOperands } from "./rotary_rows.ts";

/** Causal and window of spans: the diagonal's end at `high`, and how far it is from there to `low`. */
function spanOptions(spans: readonly SequenceSpan[]): Record<string, unknown> {
  const bounded = spans.every(({ high }) => high < UNBOUNDED);
  const lowest = spans.every(({ low }) => low > -UNBOUNDED);
  const keyLengths = spans.map(({ lengthK }) => lengthK);
  if (!bounded && !lowest) return { keyLengths };
  if (bounded && !lowest) {
    return { keyLengths, causal: { offset: spans.map(({ high }) => high) } };
  }
  // a window alone: an end that hides nothing
  const far = Math.max(0, ...spans.map(({ low, lengthK }) => lengthK - low));
  const left = bounded ? Math.max(0, ...spans.map(({ high, low }) => high - low)) : far;
  const offset = spans.map(({ high, low }) => bounded ? high : low + left);
  return { keyLengths, causal: { offset }, window: { left } };
}

/** A run of keys. `first`: whether it is the one that has what only one part may have. */
export function planKeys(call: SplitCall, run: Run, first: boolean): RunPlan {
  const { problem, options, k, v } = call, { layout, softmaxScale, spans, packed } = problem;
  const axis = axesOf(layout, packed?.keys !== undefined).rows, keys = keysOfRun(problem, run);
  const parts = spans.map((span, n) => partOfSpan(span, [0, span.lengthQ], keys[n]!));
  const lengths = keys.map(([from, to]) => to - from), starts = [0];
  for (const n of lengths) starts.push(starts.at(-1)! + n);
  const { form, operands: turned } = rotaryOperands(call, keys);
  const { bias, mask, sink, alibiSlopes, softcap, cuSeqlensQ } = options;
  const pairs = { bias, mask } as Record<string, Operand | undefined>;
  const given = Object.entries(pairs).flatMap(([name, tensor]) =>
    tensor ? [[name, tensor] as const] : []
  );
  const last = (tensor: Operand) => tensor.shape.length - 1;
  const place = { axis, from: run.from };
  return {
    options: {
      layout,
      softmaxScale,
      ...softcap !== undefined && { softcap },
      ...spanOptions(parts),
      ...cuSeqlensQ && { cuSeqlensQ: plainList(cuSeqlensQ) },
      ...packed?.keys && { cuSeqlensK: starts },
      ...form,
    },
    operands: {
      k: sliceAxis(k, axis, run.from, run.to),
      v: sliceAxis(v, axis, run.from, run.to),
      ...Object.fromEntries(
        given.map(([name, tensor]) => [name, sliceOf(tensor, last(tensor), run) ?? tensor]),
      ),
      ...alibiSlopes && { alibiSlopes: alibiSlopes as HostTensor },
      ...sink && first && { sink: sink as HostTensor },
      ...turned,
    },
    places: {
      dq: "sum",
      dk: place,
      dv: place,
      ...bias && {
        dBias: bias.shape.at(-1) === 1 ? "sum" : { axis: last(bias as Operand), from: run.from },
      },
      ...alibiSlopes && { dAlibiSlopes: "sum" },
      ...sink && { dSink: "sum" },
    },
  };
}
