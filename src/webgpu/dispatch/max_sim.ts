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
import type { OperandName } from "../../tensor/operands.ts";
import { count, extentOf, rowMajor } from "../../tensor/shape.ts";
import type { Axes, View } from "../../tensor/view.ts";
import type { GpuBuffer, GpuCommandEncoder } from "../device/api.ts";
import { Scratch } from "../device/scratch.ts";
import type { Home } from "../device/tensors.ts";
import { address, bound, type Step, wholeBuffer } from "./dispatch.ts";
import {
  type DocumentPart,
  documentsApart,
  gradientTurns,
  queriesWithin,
  setsWithin,
  type Span,
  spansOf,
} from "./document_parts.ts";
import { narrowSteps } from "./elementwise.ts";
import type { Made } from "./results.ts";
import { type BufferView, InputViews, storageKind, viewBuffer } from "./views.ts";

/** What a gradient is made of: the operand that it reads, and its kernel. */
const GRADIENTS = {
  dk: { from: "q", shader: maxSimKeyGradientShader },
  dq: { from: "k", shader: maxSimQueryGradientShader },
} as const;

/** Documents, and their rows, that are bound at a time. */
interface DocumentRange {
  readonly documents: Span;
  readonly keys: Span;
}

/** A call of late interaction: its steps, and the scratch that they use. */
export class DocumentCall {
  readonly #home: Home;
  readonly #problem: AttentionProblem;
  readonly #views: Views;
  readonly #made: readonly Made[];
  readonly #scratch: Scratch;
  readonly #inputs: InputViews;
  /** The same of inputs in the shape of results. */
  readonly #others = new Map<OperandName, InputViews>();
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
        `binds at most ${storageBinding} at once: pass less at a time`,
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

  /** What a part has of a tensor: of results, and of inputs of their shape. */
  #part(name: OperandName, { sets, documents, queries }: DocumentPart): BufferView {
    const made = this.#made.find(({ spec }) => spec.name === name), view = this.#views[name];
    const { size, strides } = made?.spec ?? view!, [begin, end] = sets;
    this.#checkBinding(`a set of ${name}`, 4 * extentOf([1, 1, size[2], size[3]], strides));
    // sets are its heads; of no document or query there are others in a binding
    const region = { ...this.#region([0, 0]), groupBegin: begin, groupEnd: end, rowEnd: size[2] };
    const all = { ...(made?.spec ?? view!), name: "q" as const };
    const bound = made
      ? viewBuffer(made.buffer, 0, "q", { ...all, dtype: "f32" }, {
        ...{ region, group: size[1], alignment: this.#home.open.target.limits.offsetAlignment },
      })
      : this.#inputsOf(name, size[1]).of({ ...view!, ...all }, region);
    const column = size[3] > 1 ? queries[0] : 0;
    return { ...bound, at: bound.at + documents[0] * strides[2] + column };
  }

  /** Inputs whose parts are bound one after the other, each uploaded once. */
  #inputsOf(name: OperandName, group: number): InputViews {
    let inputs = this.#others.get(name);
    if (!inputs) {
      inputs = new InputViews(this.#home, group, (bytes) => this.scratch(bytes));
      this.#others.set(name, inputs);
    }
    return inputs;
  }

  #region([keyBegin, keyEnd]: Span, sets?: Span, queries?: Span): Region {
    const [groupBegin, groupEnd] = sets ?? [0, this.#problem.queryHeads];
    const [rowBegin, rowEnd] = queries ?? [0, this.#problem.lengthQ];
    return {
      ...{ batchBegin: 0, batchEnd: 1, kvHeadBegin: 0, kvHeadEnd: 1 },
      ...{ groupBegin, groupEnd, rowBegin, rowEnd, keyBegin, keyEnd },
    };
  }

  #sizes([keyBegin, keyEnd]: Span, { sets, queries }: DocumentPart) {
    const { headDim } = this.#problem;
    return {
      ...{ length_q: queries[1] - queries[0], length_k: keyEnd - keyBegin, head_dim: headDim },
      ...{ batch: 1, kv_heads: 1, group: sets[1] - sets[0], key_begin: keyBegin },
    };
  }

  /** Sets of queries that can be bound and dispatched at a time; `others`: what has parts of them beside q. */
  #sets(others: readonly OperandName[], most = Infinity): Span[] {
    const { queryHeads, headDim } = this.#problem, { limits } = this.#home.open.target;
    const specs = others.map((name) => this.#made.find(({ spec }) => spec.name === name)?.spec);
    const q = this.#views.q!,
      dense = { size: q.size, strides: rowMajor(q.size) as unknown as Axes };
    this.#checkBinding("a set of queries", 4 * q.size[2] * headDim);
    return setsWithin(
      queryHeads,
      [q, dense, ...others.map((name, n) => specs[n] ?? this.#views[name]!)],
      (limits.storageBinding - limits.offsetAlignment) / 4,
      Math.min(most, limits.workgroups),
    );
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
    const step = (range: DocumentRange, sets: Span, queries: Span): Step => {
      const [begin, end] = range.documents, part = { sets, queries, documents: [0, 0] } as const;
      const ofQ = this.#inputs.of(q, this.#region(range.keys, sets, queries));
      const ofK = this.#inputs.of(k, this.#region(range.keys));
      const scores = this.#part("documentScores", part), keys = this.#part("documentKeys", part);
      const share = (queries[1] - queries[0]) * (sets[1] - sets[0]) / lengthQ / queryHeads;
      return {
        kernel: { key: maxSimKey(shape), code: () => maxSimShader(shape) },
        bindings: {
          ...{ q: bound(ofQ), k: bound(ofK), source: wholeBuffer(source, 4 * starts.length) },
          ...{ documentScores: bound(scores), documentKeys: bound(keys) },
        },
        params: {
          ...{ ...this.#sizes(range.keys, part), item_base: begin },
          ...{ ...address("q", ofQ), ...address("k", ofK) },
          ...{ ...address("documentScores", scores), ...address("documentKeys", keys) },
          accumulate: queries[0] > 0 ? 1 : 0,
        },
        ...{ x: end - begin, y: sets[1] - sets[0], z: 1 },
        flops: (share || 0) * flops * (range.keys[1] - range.keys[0]) / Math.max(1, starts.at(-1)!),
      };
    };
    return this.#ranges(starts).flatMap((range) => {
      const [begin, end] = range.documents;
      let longest = 0;
      for (let d = begin; d < end; d++) longest = Math.max(longest, starts[d + 1]! - starts[d]!);
      const queries = queriesWithin(lengthQ, longest, tile, headChunks, open.target);
      return this.#sets(["documentScores", "documentKeys"])
        .flatMap((sets) => queries.map((some) => step(range, sets, some)));
    });
  }

  /** A gradient in f32, at first zeros. */
  #sums(name: "dq" | "dk"): { made: Made; work: GpuBuffer; n: number } {
    const made = this.#made.find(({ spec }) => spec.name === name)!, n = count(made.spec.shape);
    const work = made.spec.dtype === "f32" ? made.buffer : this.scratch(4 * n);
    this.#cleared.push(work);
    return { made, work, n };
  }

  /** Parts of the gradients, dK and dQ. */
  #parts(): { ofK: DocumentPart[]; ofQ: DocumentPart[] } {
    const { lengthQ, headDim } = this.#problem, { documentKeys, k } = this.#views;
    const names = ["dDocumentScores", "documentKeys"] as const, documents = documentKeys!.size[2];
    const most = gradientTurns({ lengthQ, headDim }, this.#home.open.target);
    const apart = documentsApart(documentKeys!, k!.size[2]);
    const queries = spansOf(lengthQ, most.queries), all: Span = [0, lengthQ];
    return {
      ofK: this.#sets(names, most.sets).flatMap((sets) =>
        apart.flatMap((documents) => queries.map((some) => ({ sets, documents, queries: some })))
      ),
      ofQ: this.#sets(names).flatMap((sets) =>
        spansOf(documents, most.documents).map((some) => ({ sets, documents: some, queries: all }))
      ),
    };
  }

  /** A part of a gradient, over some rows of documents, added up in `work`. */
  #gradient(
    to: "dk" | "dq",
    part: DocumentPart,
    keys: Span,
    { made, work }: { readonly made: Made; readonly work: GpuBuffer },
  ): Step {
    const { from, shader } = GRADIENTS[to], { limits } = this.#home.open.target;
    const view = this.#views[from]!, kind = storageKind(view), sizes = this.#sizes(keys, part);
    const region = this.#region(keys, part.sets, part.queries);
    const place = { region, group: this.#problem.queryHeads, alignment: limits.offsetAlignment };
    const ds = this.#part("dDocumentScores", part), chosen = this.#part("documentKeys", part);
    const read = this.#inputs.of(view, region), count = part.documents[1] - part.documents[0];
    const added = viewBuffer(work, 0, to, { ...made.spec, dtype: "f32" }, place);
    return {
      kernel: { key: `max sim ${to} ${kindName(kind)}`, code: () => shader(kind) },
      bindings: {
        ...{ dDocumentScores: bound(ds), documentKeys: bound(chosen) },
        ...{ [from]: bound(read), [to]: bound(added) },
      },
      params: {
        ...{ ...sizes, count },
        ...{ ...address("dDocumentScores", ds), ...address("documentKeys", chosen) },
        ...{ ...address(from, read), ...address(to, added) },
      },
      ...(to === "dk" ? { x: count, y: 1 } : { x: sizes.length_q, y: sizes.group }),
      z: 1,
      flops: 2 * sizes.group * count * sizes.length_q * sizes.head_dim,
    };
  }

  #backward(): Step[] {
    const { lengthQ } = this.#problem, { limits } = this.#home.open.target;
    const { k, documentKeys } = this.#views as Record<"k" | "documentKeys", View>;
    const dq = this.#sums("dq"), dk = this.#sums("dk"), steps: Step[] = [];
    if (documentKeys.size[2] > 0 && lengthQ > 0) {
      const { ofK, ofQ } = this.#parts();
      // any row may be chosen by any document
      const each = Array.from({ length: k.size[2] + 1 }, (_, row) => row);
      for (const { keys } of this.#ranges(each)) {
        steps.push(
          ...ofK.map((part) => this.#gradient("dk", part, keys, dk)),
          ...ofQ.map((part) => this.#gradient("dq", part, keys, dq)),
        );
      }
    }
    for (const { made: { spec, buffer }, work, n } of [dq, dk]) {
      if (work !== buffer) steps.push(...narrowSteps(work, buffer, n, spec.dtype as "f16", limits));
    }
    return steps;
  }
}
