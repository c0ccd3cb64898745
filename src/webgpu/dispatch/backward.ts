// Steps of a backward window: delta, dQ, exact dq, dK/dV, exact dk, exact dv [, dBias].
import { dbiasShader } from "../../../shaders/kernels/dbias.ts";
import { DELTA_ROWS, deltaShader } from "../../../shaders/kernels/delta.ts";
import { dkvShader, type Parts } from "../../../shaders/kernels/dkv.ts";
import { dqShader } from "../../../shaders/kernels/dq.ts";
import type { ParamValues } from "../../../shaders/parts/params.ts";
import { kindName, type StorageKind } from "../../../shaders/parts/storage.ts";
import { geometry } from "../../../shaders/abi.ts";
import { variantKey } from "../../../shaders/parts/variant.ts";
import type { GpuItem } from "../../plan/webgpu/work_items.ts";
import type { ChosenTile } from "../../plan/webgpu/tiles.ts";
import { exactStep } from "./repair.ts";
import type { Slice } from "./slices.ts";
import {
  address,
  type Bound,
  bound,
  type CallVariant,
  pairs,
  scoreParams,
  type Step,
  variantOf,
  type WindowPlaces,
} from "./dispatch.ts";

/** The gradients of a window. */
export function backwardSteps(
  call: CallVariant,
  w: WindowPlaces,
  work: {
    readonly dq: ChosenTile;
    readonly dkv: ChosenTile;
    readonly dbias?: ChosenTile;
    readonly rowItems: readonly GpuItem[];
    readonly keyItems: readonly GpuItem[];
    readonly rowBase: number;
    readonly keyBase: number;
    readonly out: Slice;
    readonly outKind: StorageKind;
    readonly dOut: Slice;
    readonly lse: Slice;
    readonly dLse?: Slice;
    readonly stats: Bound;
    readonly results: { readonly dq: Slice; readonly dk: Slice; readonly dv: Slice };
    readonly dBias?: Slice;
    /** Size of each axis of the bias: those of one repeat. */
    readonly biasSize?: readonly number[];
    /** Add to dBias instead of writing it. */
    readonly addBias: boolean;
  },
): Step[] {
  const { results, stats } = work, { headDim, valueDim } = w;
  const visible = (items: readonly GpuItem[]) => 2 * pairs(items) * w.group * w.kvHeads;
  const inputs = {
    1: w.tables,
    2: bound(w.q),
    3: bound(w.k),
    4: bound(w.v),
    5: bound(work.dOut),
    6: stats,
  };
  const params = {
    ...w.params,
    ...address("q", w.q),
    ...address("k", w.k),
    ...address("v", w.v),
    ...address("dout", work.dOut),
    ...address("dq", results.dq),
    ...address("dk", results.dk),
    ...address("dv", results.dv),
    ...scoreParams(w),
  };
  const withBias = (binding: number) => w.bias ? { [binding]: bound(w.bias) } : {};
  const steps: Step[] = [deltaStep(call, w, work)];

  const dq = variantOf(call, work.dq, w), scalarHead = headDim % 4 !== 0;
  steps.push({
    kernel: {
      key: variantKey("dq", dq) + (scalarHead ? ", scalar out" : ""),
      code: () => dqShader(dq, { scalarOut: scalarHead }),
    },
    bindings: { ...inputs, 7: bound(results.dq), ...withBias(8) },
    params: { ...params, item_base: work.rowBase },
    x: work.rowItems.length,
    y: w.kvHeads,
    z: Math.ceil(dq.headChunks / dq.blockChunks),
    flops: visible(work.rowItems) * (2 * headDim + valueDim),
  });
  steps.push(
    exactStep("dq", call, w, {
      bindings: { ...inputs, 7: bound(results.dq), ...withBias(8) },
      params,
    }),
  );

  const dkv = variantOf(call, work.dkv, w), scalarValue = valueDim % 4 !== 0;
  const scalar = scalarHead || scalarValue;
  for (const parts of (work.dkv.together ? ["kv"] : ["k", "v"]) as Parts[]) {
    const chunks = parts === "k" ? dkv.headChunks : dkv.valueChunks;
    // a block of dkv is as wide as the wider operand: the narrower one may need fewer
    const v = parts === "kv" ? dkv : { ...dkv, blockChunks: Math.min(dkv.blockChunks, chunks) };
    steps.push({
      kernel: {
        key: variantKey(`dkv ${parts}`, v) + (scalar ? ", scalar out" : ""),
        code: () => dkvShader(v, parts, { scalarOut: scalar }),
      },
      bindings: {
        ...inputs,
        7: bound(results.dk),
        8: bound(results.dv),
        ...withBias(9),
      },
      params: { ...params, item_base: work.keyBase },
      x: work.keyItems.length,
      y: w.kvHeads,
      z: parts === "kv" ? 1 : Math.ceil(chunks / v.blockChunks),
      flops: visible(work.keyItems) *
        (headDim + (parts === "kv" ? headDim + 2 * valueDim : headDim + valueDim)),
    });
  }
  steps.push(
    exactStep("dk", call, w, {
      bindings: { ...inputs, 7: bound(results.dk), ...withBias(8) },
      params,
    }),
    exactStep("dv", call, w, {
      bindings: { ...inputs, 7: bound(results.dv), ...withBias(8) },
      params,
    }),
  );
  if (work.dBias && work.dbias) steps.push(dbiasStep(call, w, work, inputs, params));
  return steps;
}

type BackwardWork = Parameters<typeof backwardSteps>[2];

function deltaStep(call: CallVariant, w: WindowPlaces, work: BackwardWork): Step {
  const dout = call.kinds.dout!, withDLse = work.dLse !== undefined;
  const variant = { dout, out: work.outKind, withDLse };
  return {
    kernel: {
      key: `delta ${kindName(dout)} ${kindName(work.outKind)} ${withDLse}`,
      code: () => deltaShader(variant),
    },
    bindings: {
      1: bound(work.dOut),
      2: bound(work.out),
      3: bound(work.lse),
      4: work.stats,
      ...(work.dLse && { 5: bound(work.dLse) }),
    },
    params: {
      ...w.params,
      ...address("dout", work.dOut),
      ...address("out", work.out),
      ...address("lse", work.lse),
      ...(work.dLse && address("dlse", work.dLse)),
    },
    x: Math.ceil(w.lengthQ / DELTA_ROWS),
    y: w.kvHeads * w.group,
    z: w.batch,
    flops: 2 * w.batch * w.kvHeads * w.group * w.lengthQ * w.valueDim,
  };
}

function dbiasStep(
  call: CallVariant,
  w: WindowPlaces,
  work: BackwardWork,
  inputs: Step["bindings"],
  params: ParamValues,
): Step {
  const v = variantOf(call, work.dbias!, w), g = geometry(v.tile), size = work.biasSize!;
  const broadcast = {
    batch: size[0] === 1,
    head: size[1] === 1,
    row: size[2] === 1,
    column: size[3] === 1,
  };
  const rowTiles = broadcast.row ? 1 : Math.ceil(w.lengthQ / g.rows);
  const columnTiles = broadcast.column ? 1 : Math.ceil(w.lengthK / g.columns);
  return {
    kernel: {
      key: `${variantKey("dbias", v)}, repeats ${Object.values(broadcast)}`,
      code: () => dbiasShader(v, broadcast),
    },
    bindings: { ...inputs, 7: bound(work.dBias!), 8: bound(w.bias!) },
    params: { ...params, ...address("dq", work.dBias!), parts: work.addBias ? 1 : 0 },
    x: rowTiles * columnTiles,
    y: broadcast.head ? 1 : w.kvHeads * w.group,
    z: broadcast.batch ? 1 : w.batch,
    flops: 2 * pairs(work.rowItems) * w.group * w.kvHeads * (w.headDim + w.valueDim),
  };
}
