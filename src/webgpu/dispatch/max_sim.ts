// Late interaction on a GPU: documents in ranges whose rows can be bound, one dispatch each.
import {
  maxSimKey,
  maxSimKeyGradientShader,
  maxSimQueryGradientShader,
  maxSimShader,
  type MaxSimShape,
} from "../../../shaders/kernels/max_sim.ts";
import { kindName } from "../../../shaders/parts/storage.ts";
import { chooseTile } from "../../plan/webgpu/tiles.ts";
import type { Region } from "../../plan/webgpu/regions.ts";
import { type AttentionProblem, CALL_NAMES, type Views } from "../../problem/problem.ts";
import { BYTES } from "../../tensor/dtype.ts";
import type { OperandName } from "../../tensor/operands.ts";
import { count, extentOf } from "../../tensor/shape.ts";
import { elementBytes, type View } from "../../tensor/view.ts";
import type { GpuBuffer, GpuCommandEncoder } from "../device/api.ts";
import { Scratch } from "../device/scratch.ts";
import type { Home } from "../device/tensors.ts";
import { address, bound, type Step, wholeBuffer } from "./dispatch.ts";
import { narrowSteps } from "./elementwise.ts";
import type { Made } from "./results.ts";
import { type BufferView, InputViews, storageKind, viewBuffer } from "./views.ts";

/** Documents, and their rows, that are bound at a time. */
interface DocumentRange {
  readonly documents: readonly [begin: number, end: number];
  readonly keys: readonly [begin: number, end: number];
}

/** A call of late interaction: its steps, and the scratch that they use. */
export class DocumentCall {
  readonly #home: Home;
  readonly #problem: AttentionProblem;
  readonly #views: Views;
  readonly #made: readonly Made[];
  readonly #scratch: Scratch;
  readonly #inputs: InputViews;
  readonly #cleared: GpuBuffer[] = [];

  constructor(home: Home, problem: AttentionProblem, views: Views, made: readonly Made[]) {
    this.#home = home;
    this.#problem = problem;
    this.#views = views;
    this.#made = made;
    this.#scratch = new Scratch(home.memory);
    this.#inputs = new InputViews(home, problem.queryHeads, (bytes) => this.scratch(bytes));
  }

  /** Scratch that lives as long as the call. */
  scratch(bytes: number): GpuBuffer {
    return this.#scratch.take(bytes);
  }

  /** Gives the scratch back. */
  dispose(): void {
    this.#scratch.give();
  }

  /** Gradients begin with zeros. */
  clear(encoder: () => GpuCommandEncoder): GpuCommandEncoder | undefined {
    if (this.#cleared.length === 0) return undefined;
    const recording = encoder();
    for (const buffer of this.#cleared) recording.clearBuffer(buffer);
    return recording;
  }

  /** Every dispatch of the call, in order. */
  steps(): Step[] {
    if (this.#problem.queryHeads === 0) return [];
    return this.#problem.pass === "maxSim" ? this.#forward() : this.#backward();
  }

  /** Throws where something is larger than a binding. */
  #checkBinding(name: string, bytes: number): void {
    const { storageBinding, offsetAlignment } = this.#home.open.target.limits;
    if (bytes <= storageBinding - offsetAlignment) return;
    throw new RangeError(
      `Cannot run ${CALL_NAMES[this.#problem.pass]}: ${name} has ${bytes} bytes but the device ` +
        `binds at most ${storageBinding} at once: pass fewer documents at a time`,
    );
  }

  /** Ranges of rows that can be bound, in f32 as gradients are: of whole documents, where they are known. */
  #ranges(starts: readonly number[]): DocumentRange[] {
    const { storageBinding, offsetAlignment } = this.#home.open.target.limits;
    const row = 4 * this.#views.k!.strides[2], ranges: DocumentRange[] = [];
    const most = Math.floor((storageBinding - offsetAlignment) / Math.max(4, row));
    for (let begin = 0, end = 0; begin < starts.length - 1; begin = end) {
      const first = starts[begin]!;
      do end++; while (end < starts.length - 1 && starts[end + 1]! - first <= most);
      const last = starts[end]!;
      this.#checkBinding(`document ${begin}`, (last - first) * row);
      ranges.push({ documents: [begin, end], keys: [first, last] });
    }
    return ranges;
  }

  #region([keyBegin, keyEnd]: readonly [number, number]): Region {
    const { queryHeads, lengthQ } = this.#problem;
    return {
      ...{ batchBegin: 0, batchEnd: 1, kvHeadBegin: 0, kvHeadEnd: 1 },
      ...{ groupBegin: 0, groupEnd: queryHeads, rowBegin: 0, rowEnd: lengthQ, keyBegin, keyEnd },
    };
  }

  /** A tensor that is bound whole: results, and what has their shape. */
  #whole(name: OperandName): BufferView {
    const made = this.#made.find(({ spec }) => spec.name === name);
    if (made) {
      this.#checkBinding(name, count(made.spec.shape) * BYTES[made.spec.dtype]);
      const { buffer, spec: { strides } } = made;
      return { ...wholeBuffer(buffer, count(made.spec.shape) * 4), at: 0, strides };
    }
    const view = this.#views[name]!, { size, strides } = view;
    this.#checkBinding(name, extentOf(size, strides) * elementBytes(view));
    // all of it: of no sequence, head or row there are others
    const all = { ...view, name: "q" as const };
    const region = { ...this.#region([0, 0]), groupEnd: size[1], rowEnd: size[2] };
    return new InputViews(this.#home, size[1], (bytes) => this.scratch(bytes)).of(all, region);
  }

  #sizes([keyBegin, keyEnd]: readonly [number, number]) {
    const { queryHeads, lengthQ, headDim } = this.#problem;
    return {
      ...{ length_q: lengthQ, length_k: keyEnd - keyBegin, head_dim: headDim },
      ...{ batch: 1, kv_heads: 1, group: queryHeads, key_begin: keyBegin },
    };
  }

  #forward(): Step[] {
    const { headDim, lengthQ, queryHeads, documents } = this.#problem, starts = documents!;
    const { q, k } = this.#views as { q: View; k: View }, { open } = this.#home;
    if (starts.length === 1) return [];
    const flops = 2 * queryHeads * lengthQ * headDim * starts.at(-1)!;
    const { tile } = chooseTile("inside", { headDim, valueDim: 0, flops }, open.target);
    const headChunks = Math.ceil(headDim / tile.chunk);
    const shape: MaxSimShape = { tile, headChunks, q: storageKind(q), k: storageKind(k) };
    const source = this.scratch(4 * starts.length);
    open.device.queue.writeBuffer(source, 0, Uint32Array.from(starts));
    const scores = this.#whole("documentScores"), keys = this.#whole("documentKeys");
    return this.#ranges(starts).map((range): Step => {
      const region = this.#region(range.keys), [begin, end] = range.documents;
      const ofQ = this.#inputs.of(q, region), ofK = this.#inputs.of(k, region);
      return {
        kernel: { key: maxSimKey(shape), code: () => maxSimShader(shape) },
        bindings: {
          ...{ q: bound(ofQ), k: bound(ofK), source: wholeBuffer(source, 4 * starts.length) },
          ...{ documentScores: bound(scores), documentKeys: bound(keys) },
        },
        params: {
          ...{ ...this.#sizes(range.keys), item_base: begin },
          ...{ ...address("q", ofQ), ...address("k", ofK) },
          ...{ ...address("documentScores", scores), ...address("documentKeys", keys) },
        },
        ...{ x: end - begin, y: queryHeads, z: 1 },
        flops: flops * (range.keys[1] - range.keys[0]) / Math.max(1, starts.at(-1)!),
      };
    });
  }

  /** A gradient in f32, at first zeros. */
  #sums(name: "dq" | "dk"): { made: Made; work: GpuBuffer; n: number } {
    const made = this.#made.find(({ spec }) => spec.name === name)!, n = count(made.spec.shape);
    const work = made.spec.dtype === "f32" ? made.buffer : this.scratch(4 * n);
    this.#cleared.push(work);
    return { made, work, n };
  }

  #backward(): Step[] {
    const { headDim, lengthQ, queryHeads } = this.#problem, { limits } = this.#home.open.target;
    const { q, k, documentKeys } = this.#views as Record<"q" | "k" | "documentKeys", View>;
    const dq = this.#sums("dq"), dk = this.#sums("dk"), documents = documentKeys.size[2];
    const rows = k.size[2], steps: Step[] = [];
    if (documents > 0 && lengthQ > 0) {
      const ds = this.#whole("dDocumentScores"), keys = this.#whole("documentKeys");
      const place = { group: queryHeads, alignment: limits.offsetAlignment };
      // any row may be chosen by any document
      const each = Array.from({ length: rows + 1 }, (_, row) => row);
      for (const { keys: range } of this.#ranges(each)) {
        const region = this.#region(range), part = { ...place, region };
        const shared = { dDocumentScores: bound(ds), documentKeys: bound(keys) };
        const params = {
          ...{ ...this.#sizes(range), count: documents },
          ...{ ...address("dDocumentScores", ds), ...address("documentKeys", keys) },
        };
        const flops = 2 * queryHeads * documents * lengthQ * headDim;
        const ofQ = this.#inputs.of(q, region), ofK = this.#inputs.of(k, region);
        const spec = (made: Made) => ({ ...made.spec, dtype: "f32" as const });
        const toDk = viewBuffer(dk.work, 0, "dk", spec(dk.made), part);
        const toDq = viewBuffer(dq.work, 0, "dq", spec(dq.made), part);
        const ofQKind = storageKind(q), ofKKind = storageKind(k);
        steps.push({
          kernel: {
            key: `max sim dk ${kindName(ofQKind)}`,
            code: () => maxSimKeyGradientShader(ofQKind),
          },
          bindings: { ...shared, q: bound(ofQ), dk: bound(toDk) },
          params: { ...params, ...address("q", ofQ), ...address("dk", toDk) },
          ...{ x: documents, y: 1, z: 1, flops },
        }, {
          kernel: {
            key: `max sim dq ${kindName(ofKKind)}`,
            code: () => maxSimQueryGradientShader(ofKKind),
          },
          bindings: { ...shared, k: bound(ofK), dq: bound(toDq) },
          params: { ...params, ...address("k", ofK), ...address("dq", toDq) },
          ...{ x: lengthQ, y: queryHeads, z: 1, flops },
        });
      }
    }
    for (const { made: { spec, buffer }, work, n } of [dq, dk]) {
      if (work !== buffer) steps.push(...narrowSteps(work, buffer, n, spec.dtype as "f16", limits));
    }
    return steps;
  }
}
