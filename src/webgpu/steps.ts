// Steps: the dispatches of a window, as data: kernel, buffers, parameters, workgroups. What runs and in which
// order is read here; how it gets to the device is in submit.ts.
//
//   forward   forward or decode [, merge slots], exact rows [, merge into the result]
//   backward  delta, dQ, exact dq, dK/dV, exact dk, exact dv [, dBias] [, add to the results]
//   at the end 16-bit results are narrowed
import { dbiasShader } from "../../shaders/dbias.ts";
import { decodeShader } from "../../shaders/decode.ts";
import { DELTA_ROWS, deltaShader } from "../../shaders/delta.ts";
import { dkvShader, type Parts } from "../../shaders/dkv.ts";
import { dqShader } from "../../shaders/dq.ts";
import {
  addShader,
  ELEMENTWISE_ROW,
  ELEMENTWISE_THREADS,
  narrowShader,
} from "../../shaders/elementwise.ts";
import { EXACT_ROWS, type ExactKind, exactShader, exactVariant } from "../../shaders/exact.ts";
import { forwardShader } from "../../shaders/forward.ts";
import { mergeIntoShader, mergeSlotsShader } from "../../shaders/merge.ts";
import type { ParamValues } from "../../shaders/params.ts";
import { kindName, type StorageKind } from "../../shaders/storage.ts";
import { geometry } from "../../shaders/tile.ts";
import { type Variant, variantKey } from "../../shaders/variant.ts";
import type { GpuItem } from "../plan/items_webgpu.ts";
import type { ChosenTile } from "../plan/tiles_webgpu.ts";
import type { GpuBuffer } from "./api.ts";
import type { Kernel } from "./pipelines.ts";
import type { Slice } from "./slices.ts";

/** A range of a buffer that a shader sees. */
export interface Bound {
  readonly buffer: GpuBuffer;
  readonly offset: number;
  readonly size: number;
}

/** One dispatch. */
export interface Step {
  readonly kernel: Kernel;
  /** By binding number; those that the shader does not declare are left out. */
  readonly bindings: Readonly<Record<number, Bound | undefined>>;
  readonly params: ParamValues;
  /** Workgroups; x may be cut into several dispatches, which `item_base` tells apart. */
  readonly x: number;
  readonly y: number;
  readonly z: number;
  /** Operations, to cut long work. */
  readonly flops: number;
}

/** What all steps of a window share. */
export interface WindowPlaces {
  readonly params: ParamValues;
  readonly tables: Bound;
  readonly q: Slice;
  readonly k: Slice;
  readonly v: Slice;
  readonly bias?: Slice;
  /** Strides of the mask, whose bytes are in `tables`. */
  readonly mask?: Slice;
  readonly batch: number;
  readonly kvHeads: number;
  readonly group: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
  readonly valueDim: number;
  /** Workgroups that fill the device. */
  readonly wantedWorkgroups: number;
}

/** What a variant takes from the call. */
export type CallVariant = Pick<Variant, "kinds" | "grouped" | "softcap" | "bias" | "mask">;

const bound = ({ buffer, offset, size }: Slice): Bound => ({ buffer, offset, size });

/** A whole buffer of scratch. */
export function wholeBuffer(buffer: GpuBuffer, size: number = buffer.size): Bound {
  return { buffer, offset: 0, size: Math.ceil(size / 4) * 4 };
}

/** Address parameters of an operand. */
function address(name: string, { at, strides }: Slice): ParamValues {
  return {
    [`${name}_at`]: at,
    [`${name}_batch`]: strides[0],
    [`${name}_head`]: strides[1],
    [`${name}_row`]: strides[2],
  };
}

/** The parameters of bias and mask, whose axes of one repeat. */
function scoreParams({ bias, mask }: WindowPlaces): ParamValues {
  return {
    ...(bias && { ...address("bias", bias), bias_column: bias.strides[3] }),
    ...(mask && { ...address("mask", mask), mask_column: mask.strides[3] }),
  };
}

/** A variant of a tile. */
function variantOf(call: CallVariant, chosen: ChosenTile, w: WindowPlaces): Variant {
  const { tile, blockChunks } = chosen, g = geometry(tile);
  return {
    ...call,
    tile,
    headChunks: Math.ceil(w.headDim / g.chunk),
    valueChunks: Math.ceil(w.valueDim / g.chunk),
    blockChunks,
  };
}

/** A kernel without a tile of its own takes the smallest, for its key. */
const NO_TILE: ChosenTile = {
  tile: { nx: 1, ny: 1, tm: 1, tn: 4, chunk: 4, unroll: 1 },
  blockChunks: 1,
  together: true,
  bytes: 0,
  registers: 0,
};

function untiled(call: CallVariant): Variant {
  const { tile } = NO_TILE;
  const chunks = { headChunks: 0, valueChunks: 0, blockChunks: 0 };
  return { ...call, tile, ...chunks };
}

function pairs(items: readonly GpuItem[]): number {
  return items.reduce((sum, item) => sum + item.pairs, 0);
}

/** out and lse of a window, from `rowItems`; `split`: into slots. */
export function forwardSteps(
  call: CallVariant,
  w: WindowPlaces,
  work: {
    readonly forward?: ChosenTile;
    readonly decode?: Parameters<typeof decodeShader>[1];
    readonly items: readonly GpuItem[];
    readonly itemBase: number;
    readonly out: Slice;
    readonly lse: Slice;
    readonly parts: number;
    /** Slots of partial results, where there are several parts. */
    readonly slots?: { readonly out: Slice; readonly lse: Slice };
  },
): Step[] {
  const { out, lse, slots, parts } = work, target = slots ?? { out, lse };
  const scalarOut = w.valueDim % 4 !== 0;
  const rows = w.batch * w.kvHeads * w.group * w.lengthQ;
  const partRows = { part_rows: rows, parts };
  const bindings = {
    1: w.tables,
    2: bound(w.q),
    3: bound(w.k),
    4: bound(w.v),
    5: bound(target.out),
    6: bound(target.lse),
    ...(w.bias && { 7: bound(w.bias) }),
  };
  const params = {
    ...w.params,
    ...address("q", w.q),
    ...address("k", w.k),
    ...address("v", w.v),
    ...scoreParams(w),
    ...partRows,
    item_base: work.itemBase,
  };
  const flops = 2 * pairs(work.items) * w.group * w.kvHeads * (w.headDim + w.valueDim);
  const v = work.forward ? variantOf(call, work.forward, w) : untiled({ ...call, grouped: true });
  const shape = work.decode;
  const kernel: Kernel = shape
    ? {
      key: `${variantKey("decode", v)}, ${Object.values(shape)}${scalarOut ? ", scalar out" : ""}`,
      code: () => decodeShader(v, shape, { scalarOut }),
    }
    : {
      key: variantKey("forward", v) + (scalarOut ? ", scalar out" : ""),
      code: () => forwardShader(v, { scalarOut }),
    };
  const blocks = work.forward ? Math.ceil(v.valueChunks / v.blockChunks) : 1;
  const steps: Step[] = [{
    kernel,
    bindings,
    params: { ...params, ...address("out", target.out), ...address("lse", target.lse) },
    x: work.items.length,
    y: w.kvHeads,
    z: blocks,
    flops: flops * blocks,
  }];
  if (slots) {
    steps.push({
      kernel: { key: `merge slots ${scalarOut}`, code: () => mergeSlotsShader(scalarOut) },
      bindings: { 1: bound(slots.out), 2: bound(slots.lse), 3: bound(out), 4: bound(lse) },
      params: { ...w.params, ...partRows, ...address("out", out), ...address("lse", lse) },
      x: w.lengthQ,
      y: w.kvHeads * w.group,
      z: w.batch,
      flops: 2 * rows * parts * w.valueDim,
    });
  }
  steps.push(
    exactStep("forward", call, w, {
      bindings: { ...bindings, 6: bound(lse), 7: bound(out), ...(w.bias && { 8: bound(w.bias) }) },
      params: { ...params, ...address("out", out), ...address("lse", lse), item_base: 0 },
    }),
  );
  return steps;
}

/** Repairs rows that are not finite; see shaders/exact.ts. */
function exactStep(
  kind: ExactKind,
  call: CallVariant,
  w: WindowPlaces,
  step: Pick<Step, "bindings" | "params">,
): Step {
  const v = exactVariant(untiled(call)), byKey = kind === "dk" || kind === "dv";
  const rows = byKey ? w.lengthK : w.lengthQ * w.group;
  return {
    kernel: { key: variantKey(`exact ${kind}`, v), code: () => exactShader(kind, v) },
    ...step,
    // starting a workgroup costs more than looking through rows: some for each core, no more
    x: Math.min(
      Math.ceil(rows / EXACT_ROWS),
      Math.ceil(2 * w.wantedWorkgroups / (w.kvHeads * w.batch)),
    ),
    y: w.kvHeads,
    z: w.batch,
    flops: rows * w.kvHeads * w.batch * w.valueDim,
  };
}

/** Merges a part, `[batch, head, query]` rows, into results; `first`: writes them over. */
export function mergeIntoStep(
  w: Pick<WindowPlaces, "params" | "batch" | "kvHeads" | "group" | "lengthQ" | "valueDim">,
  part: { readonly out: Slice; readonly lse: Slice; readonly kind: StorageKind },
  result: { readonly out: Slice; readonly lse: Slice },
  first: boolean,
): Step {
  const scalarOut = w.valueDim % 4 !== 0;
  return {
    kernel: {
      key: `merge into ${kindName(part.kind)} ${scalarOut}`,
      code: () => mergeIntoShader(part.kind, scalarOut),
    },
    bindings: {
      1: bound(part.out),
      2: bound(part.lse),
      3: bound(result.out),
      4: bound(result.lse),
    },
    params: {
      ...w.params,
      ...address("q", part.out),
      ...address("k", part.lse),
      ...address("out", result.out),
      ...address("lse", result.lse),
      parts: first ? 0 : 1,
    },
    x: w.lengthQ,
    y: w.kvHeads * w.group,
    z: w.batch,
    flops: 4 * w.batch * w.kvHeads * w.group * w.lengthQ * w.valueDim,
  };
}

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

/** Workgroups of a kernel that goes through `words` words: rows of a fixed length. */
function elementwise(words: number): { x: number; y: number; z: number } {
  const groups = Math.ceil(words / ELEMENTWISE_THREADS);
  return { x: Math.min(groups, ELEMENTWISE_ROW), y: Math.ceil(groups / ELEMENTWISE_ROW), z: 1 };
}

/** f32 results to 16 bits, in ranges that can be bound. */
export function narrowSteps(
  wide: GpuBuffer,
  words: GpuBuffer,
  n: number,
  dtype: "f16" | "bf16",
  limits: { readonly storageBinding: number; readonly offsetAlignment: number },
): Step[] {
  const unit = limits.offsetAlignment, range = Math.floor(limits.storageBinding / 4 / unit) * unit;
  const steps: Step[] = [];
  for (let begin = 0; begin < n; begin += range) {
    const count = Math.min(range, n - begin);
    steps.push({
      kernel: { key: `narrow ${dtype}`, code: () => narrowShader(dtype) },
      bindings: {
        1: { buffer: wide, offset: begin * 4, size: count * 4 },
        2: { buffer: words, offset: begin * 2, size: Math.ceil(count / 2) * 4 },
      },
      params: { part_rows: count },
      ...elementwise(Math.ceil(count / 2)),
      flops: count,
    });
  }
  return steps;
}

/** sum += part, over all elements of both. */
export function addStep(part: Bound, sum: Bound, n: number): Step {
  return {
    kernel: { key: "add", code: addShader },
    bindings: { 1: part, 2: sum },
    params: { part_rows: n },
    ...elementwise(n),
    flops: n,
  };
}
