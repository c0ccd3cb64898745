// One call: its scratch, its results, and the steps of all its windows.
import { type StorageKind, VECTORS } from "../../../shaders/parts/storage.ts";
import { UnsupportedError } from "../../tensor/errors.ts";
import { feature } from "../../problem/features/table.ts";
import { count } from "../../tensor/view.ts";
import type { GpuPlan, GpuWindow } from "../../plan/webgpu/plan.ts";
import { wantedWorkgroups } from "../../plan/webgpu/tiles.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import type { ResultSpec } from "../../problem/results.ts";
import type { GpuBuffer, GpuCommandEncoder } from "../device/api.ts";
import { type Slice, sliceBuffer, Slices, storageKind } from "./slices.ts";
import { backwardSteps } from "./backward.ts";
import { addStep, narrowSteps } from "./elementwise.ts";
import { forwardSteps, mergeIntoStep } from "./forward.ts";
import { bound, type CallVariant, type Step, wholeBuffer, type WindowPlaces } from "./dispatch.ts";
import { groupOf, windowTables } from "./tables.ts";
import type { Home } from "../device/tensors.ts";

/** A result while it is made: in f32, and where it is in the end. */
export interface MadeResult {
  readonly spec: ResultSpec;
  /** Where the result ends up. */
  readonly buffer: GpuBuffer;
  /** Where it is computed: `buffer`, or scratch when it is narrowed from there. */
  readonly work: GpuBuffer;
}

/** Builds the steps of a call; `dispose` gives its scratch back. */
export class GpuCall {
  readonly #home: Home;
  readonly #problem: AttentionProblem;
  readonly #plan: GpuPlan;
  readonly #views: Views;
  readonly #group: number;
  readonly #scratch: GpuBuffer[] = [];
  readonly #cleared: GpuBuffer[] = [];
  readonly #slices: Slices;
  readonly #variant: CallVariant;
  /** By name. */
  readonly #results: ReadonlyMap<string, MadeResult>;

  constructor(
    home: Home,
    problem: AttentionProblem,
    plan: GpuPlan,
    views: Views,
    results: readonly { readonly spec: ResultSpec; readonly buffer: GpuBuffer }[],
  ) {
    this.#home = home;
    this.#problem = problem;
    this.#plan = plan;
    this.#views = views;
    this.#group = problem.queryHeads / Math.max(1, problem.kvHeads);
    this.#slices = new Slices(home, this.#group, (bytes) => this.scratch(bytes));
    this.#variant = this.#describe();
    try {
      this.#results = new Map(results.map(({ spec, buffer }) => {
        const work = spec.dtype === "f32" ? buffer : this.scratch(count(spec.shape) * 4);
        return [spec.name, { spec, buffer, work }];
      }));
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Scratch that lives as long as the call. */
  scratch(bytes: number): GpuBuffer {
    const buffer = this.#home.memory.take(bytes);
    this.#scratch.push(buffer);
    return buffer;
  }

  /** Scratch that must be zero when the steps begin. */
  #zeros(bytes: number): GpuBuffer {
    const buffer = this.scratch(bytes);
    this.#cleared.push(buffer);
    return buffer;
  }

  /** Gives the scratch back: after the last submission that uses it. */
  dispose(): void {
    for (const buffer of this.#scratch) this.#home.memory.give(buffer);
    this.#scratch.length = 0;
  }

  /** What is cleared before the steps run; undefined when nothing is. */
  clear(encoder: () => GpuCommandEncoder): GpuCommandEncoder | undefined {
    if (this.#cleared.length === 0) return undefined;
    const recording = encoder();
    for (const buffer of this.#cleared) recording.clearBuffer(buffer);
    return recording;
  }

  #describe(): CallVariant {
    const { q, k, v, dOut, bias } = this.#views, { features } = this.#problem;
    const kinds = { q: storageKind(q!), k: storageKind(k!), v: storageKind(v!) };
    return {
      kinds: dOut ? { ...kinds, dout: storageKind(dOut) } : kinds,
      grouped: this.#group > 1,
      softcap: features.some(({ name }) => name === "softcap"),
      bias: bias && { ...storageKind(bias), scalar: true },
      mask: features.some(({ name }) => name === "mask"),
    };
  }

  /** The part of a result, as it is computed, that a window writes. */
  #resultSlice(name: string, window: GpuWindow, follows: "queries" | "keys" | "scores"): Slice {
    const { spec, work } = this.#results.get(name)!;
    const alignment = this.#home.open.target.limits.offsetAlignment;
    const where = { box: window, follows, group: this.#group, alignment };
    return sliceBuffer(work, 0, { ...spec, dtype: "f32" }, where);
  }

  /** Scratch in the shape of a slice. */
  #like(slice: Slice): Slice {
    return { ...slice, buffer: this.#zeros(slice.size), offset: 0 };
  }

  /** Slots of partial rows, [slot][batch][head][query][column]. */
  #slots(window: GpuWindow, parts: number, columns: number): Slice {
    const rows = window.rowEnd - window.rowBegin;
    const heads = (window.kvHeadEnd - window.kvHeadBegin) * groupOf(window);
    const batch = window.batchEnd - window.batchBegin;
    const size = parts * batch * heads * rows * columns * 4;
    const strides = [heads * rows * columns, rows * columns, columns, 1] as const;
    return { buffer: this.scratch(size), offset: 0, size, at: 0, strides };
  }

  #window(window: GpuWindow): { places: WindowPlaces; rowBase: number; keyBase: number } {
    const { headDim, valueDim, softmaxScale, features } = this.#problem;
    const { q, k, v, bias } = this.#views;
    const { data, rowBase, keyBase, maskByte, maskStrides } = windowTables(
      this.#problem,
      window,
      this.#views.mask,
    );
    const buffer = this.scratch(data.byteLength);
    this.#home.open.device.queue.writeBuffer(buffer, 0, data);
    const tables = wholeBuffer(buffer, Math.max(16, data.byteLength));
    const mask = maskStrides && { ...tables, at: 0, strides: maskStrides };
    const sizes = {
      batch: window.batchEnd - window.batchBegin,
      kvHeads: window.kvHeadEnd - window.kvHeadBegin,
      lengthQ: window.rowEnd - window.rowBegin,
      lengthK: window.keyEnd - window.keyBegin,
    };
    const softcap = features.find(({ name }) => name === "softcap");
    const places: WindowPlaces = {
      ...sizes,
      group: groupOf(window),
      headDim,
      valueDim,
      wantedWorkgroups: wantedWorkgroups(this.#home.open.target),
      fewRows: this.#home.open.target.software,
      tables,
      q: this.#slices.of(q!, window, "queries"),
      k: this.#slices.of(k!, window, "keys"),
      v: this.#slices.of(v!, window, "keys"),
      bias: bias && this.#slices.of(bias, window, "scores"),
      mask,
      params: {
        length_q: sizes.lengthQ,
        length_k: sizes.lengthK,
        batch: sizes.batch,
        group: groupOf(window),
        kv_heads: sizes.kvHeads,
        head_dim: headDim,
        value_dim: valueDim,
        scale: softmaxScale,
        ...(softcap && feature("softcap").scalars!(softcap.params)),
        mask_byte: mask ? maskByte : 0, // 0: there is no mask
        parts: 1,
      },
    };
    return { places, rowBase, keyBase };
  }

  #forward(window: GpuWindow): Step[] {
    const { places, rowBase } = this.#window(window), { parts } = window;
    const { valueDim } = this.#problem,
      kind: StorageKind = {
        ...VECTORS,
        scalar: valueDim % 4 !== 0,
      };
    const result = {
      out: this.#resultSlice("out", window, "queries"),
      lse: this.#resultSlice("lse", window, "queries"),
    };
    const slots = (n: number) => ({
      out: this.#slots(window, n, valueDim),
      lse: this.#slots(window, n, 1),
    });
    const target = window.moreKeys ? slots(1) : result;
    const steps = forwardSteps(this.#variant, places, {
      forward: this.#plan.forward,
      decode: this.#plan.decode,
      items: window.rowItems,
      itemBase: rowBase,
      ...target,
      parts,
      slots: parts > 1 ? slots(parts) : undefined,
    });
    if (!window.moreKeys) return steps;
    return [...steps, mergeIntoStep(places, { ...target, kind }, result, false)];
  }

  #backward(window: GpuWindow): Step[] {
    const { places, rowBase, keyBase } = this.#window(window), { dq, dkv, dbias } = this.#plan;
    const { out, dOut, lse, dLse, bias } = this.#views;
    const rows = places.batch * places.kvHeads * places.group * places.lengthQ;
    const results = {
      dq: this.#resultSlice("dq", window, "queries"),
      dk: this.#resultSlice("dk", window, "keys"),
      dv: this.#resultSlice("dv", window, "keys"),
    };
    // windows before this one have been here: its share is made apart and added
    const made = {
      dq: window.moreKeys ? this.#like(results.dq) : results.dq,
      dk: window.moreRows ? this.#like(results.dk) : results.dk,
      dv: window.moreRows ? this.#like(results.dv) : results.dv,
    };
    const steps = backwardSteps(this.#variant, places, {
      dq: dq!,
      dkv: dkv!,
      dbias,
      rowItems: window.rowItems,
      keyItems: window.keyItems,
      rowBase,
      keyBase,
      out: this.#slices.of(out!, window, "queries"),
      outKind: storageKind(out!),
      dOut: this.#slices.of(dOut!, window, "queries"),
      lse: this.#slices.of(lse!, window, "queries"),
      dLse: dLse && this.#slices.of(dLse, window, "queries"),
      stats: wholeBuffer(this.scratch(rows * 8), rows * 8),
      results: made,
      dBias: bias && this.#resultSlice("dBias", window, "scores"),
      biasSize: bias?.size,
      addBias: this.#plan.windows.length > 1,
    });
    for (const name of ["dq", "dk", "dv"] as const) {
      const part = made[name], sum = results[name];
      if (part !== sum) steps.push(addStep(bound(part), bound(sum), part.size / 4));
    }
    return steps;
  }

  /** Every step of the call, in order. */
  steps(): Step[] {
    const { pass } = this.#problem, { windows } = this.#plan;
    const dBias = this.#results.get("dBias");
    if (dBias && windows.length > 1) this.#cleared.push(dBias.work);
    const steps = windows.flatMap((window) =>
      pass === "forward" ? this.#forward(window) : this.#backward(window)
    );
    for (const { spec, buffer, work } of this.#results.values()) {
      if (work === buffer) continue;
      const n = count(spec.shape), dtype = spec.dtype as "f16" | "bf16";
      const { limits } = this.#home.open.target;
      steps.push(...narrowSteps(work, buffer, n, dtype, limits));
    }
    return steps;
  }

  /** Throws when the steps need more than a caller's pass. */
  requireOnePass(): void {
    if (this.#cleared.length === 0) return;
    throw new UnsupportedError(
      "recording a problem larger than the bindings of the device into a pass",
      "webgpu",
      "call attention or attentionBackward, which submit by themselves",
    );
  }
}
