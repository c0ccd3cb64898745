// A run of kv heads, with the query heads that read them: everything beside each other, nothing to merge.
import type { CallOptions } from "../../problem/call_options.ts";
import type { SequenceSpan } from "../../problem/features/feature.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { Run } from "../split.ts";
import { sliceAxis } from "../wire/slices.ts";
import { axesOf, type Operand, plainList, type RunPlan, sliceOf, type SplitCall } from "./parts.ts";
import type { Place } from "../wire/requests.ts";
import { keysOfRun, rotaryOperands } from "./rotary_rows.ts";

/** kv heads, with the query heads that read them. */
export function planHeads(
  call: SplitCall,
  run: Run,
  queries: Readonly<Record<string, HostTensor>>,
): RunPlan {
  const { problem, options, k, v } = call,
    { layout, softmaxScale, packed, queryHeads, kvHeads } = problem;
  const group = queryHeads / kvHeads, own = { from: run.from * group, to: run.to * group };
  const q = axesOf(layout, packed?.queries !== undefined).heads;
  const kv = axesOf(layout, packed?.keys !== undefined).heads, rowStat = packed?.queries ? 0 : 1;
  const { bias, mask, sink, alibiSlopes, softcap, cuSeqlensQ, cuSeqlensK, spans } = {
    ...options,
    spans: problem.spans,
  };
  const { form, operands: turned } = rotaryOperands(
    call,
    keysOfRun(problem, { from: 0, to: 2 ** 31 }),
  );
  const headAxis = (tensor: Operand) => tensor.shape.length - 3;
  const place = (axis: number, from: number): Place => ({ axis, from });
  const sliced = (tensor: Operand, axis: number) => sliceOf(tensor, axis, own) ?? tensor;
  const isRowStat = (name: string) => name === "lse" || name === "dLse";
  // ALiBi counts from the diagonal, which its own options say
  const visible = options.causal || options.window || options.keyLengths
    ? headSpans(options, spans)
    : {};
  return {
    options: {
      layout,
      softmaxScale,
      ...softcap !== undefined && { softcap },
      ...visible,
      ...cuSeqlensQ && { cuSeqlensQ: plainList(cuSeqlensQ) },
      ...cuSeqlensK && { cuSeqlensK: plainList(cuSeqlensK) },
      ...form,
    },
    operands: {
      ...Object.fromEntries(
        Object.entries(queries).map(([name, tensor]) => [
          name,
          sliceAxis(tensor, isRowStat(name) ? rowStat : q, own.from, own.to),
        ]),
      ),
      k: sliceAxis(k, kv, run.from, run.to),
      v: sliceAxis(v, kv, run.from, run.to),
      ...bias && { bias: sliced(bias as Operand, headAxis(bias as Operand)) },
      ...mask && { mask: sliced(mask as Operand, headAxis(mask as Operand)) },
      ...alibiSlopes && {
        alibiSlopes: sliceAxis(
          alibiSlopes as HostTensor,
          alibiSlopes.shape.length - 1,
          own.from,
          own.to,
        ),
      },
      ...sink && { sink: sliceAxis(sink as HostTensor, 0, own.from, own.to) },
      ...turned,
    },
    places: {
      out: place(q, own.from),
      lse: place(rowStat, own.from),
      dq: place(q, own.from),
      dk: place(kv, run.from),
      dv: place(kv, run.from),
      ...bias && {
        dBias: sliceOf(bias as Operand, headAxis(bias as Operand), own)
          ? place(headAxis(bias as Operand), own.from)
          : "sum",
      },
      ...alibiSlopes && { dAlibiSlopes: place(alibiSlopes.shape.length - 1, own.from) },
      ...sink && { dSink: place(0, own.from) },
    },
  };
}

/** The same of all keys: options as they were, lists as plain ones. */
function headSpans(
  { causal, window, keyLengths }: CallOptions,
  spans: readonly SequenceSpan[],
): Record<string, unknown> {
  const offset = typeof causal === "object" ? spans.map((span) => span.offset) : undefined;
  const sides = Object.entries(window ?? {}).filter(([, n]) => n !== undefined && n !== Infinity);
  return {
    ...causal && { causal: offset ? { offset } : causal },
    ...sides.length > 0 && { window: Object.fromEntries(sides) },
    ...keyLengths !== undefined && { keyLengths: spans.map(({ lengthK }) => lengthK) },
  };
}
