// What the steps of one region share: sizes, parameters, and where each operand lies. Views are made when a step asks
// for one, so that nothing is uploaded that no kernel of the region reads.
import type { ParamValues } from "../../../shaders/features/params.ts";
import { type StorageKind, VECTORS } from "../../../shaders/parts/storage.ts";
import type { GpuPlan, PlannedRegion } from "../../plan/webgpu/plan.ts";
import { boundOperands } from "../../plan/webgpu/regions.ts";
import { feature, numbersOf } from "../../problem/features/table.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import { type OperandName, shaderName } from "../../tensor/operands.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { Home } from "../device/tensors.ts";
import {
  address,
  type Bindings,
  type Bound,
  bound,
  type CallVariant,
  type MadeResult,
  type RegionSizes,
  wholeBuffer,
} from "./dispatch.ts";
import { type Schedule, scheduleOf } from "./schedule.ts";
import type { TurnedRows } from "./turned_rows.ts";
import { type BufferView, type InputViews, storageKind, viewBuffer } from "./views.ts";

/** What a call lends to its regions. */
export interface CallContext {
  readonly home: Home;
  readonly problem: AttentionProblem;
  readonly plan: GpuPlan;
  readonly views: Views;
  readonly variant: CallVariant;
  readonly inputs: InputViews;
  readonly turned: TurnedRows;
  readonly results: ReadonlyMap<OperandName, MadeResult>;
  /** Four floats for each element of lse, where statistics of rows are asked for. */
  readonly rowStatistics: GpuBuffer | undefined;
  /** Scratch that lives as long as the call; `zeros` is cleared before the steps run. */
  scratch(bytes: number): GpuBuffer;
  zeros(bytes: number): GpuBuffer;
  /** Writes what the form of the call decides into scratch. */
  write(buffer: GpuBuffer, data: Int32Array<ArrayBuffer>): void;
}

/** A place where rows of partial results are made. */
export interface PartialRows {
  readonly out: BufferView;
  readonly lse: BufferView;
  /** Statistics at the places of lse. */
  readonly statistics?: Bound | undefined;
}

/** Floats of the statistics of a row. */
export const STATISTICS = 4;

/** One region of a call. */
export class RegionCall {
  readonly call: CallContext;
  readonly region: PlannedRegion;
  readonly sizes: RegionSizes;
  /** Query heads, and rows of all of them. */
  readonly heads: number;
  readonly rows: number;
  readonly schedule: Schedule;
  readonly scheduleBuffer: Bound;
  /** Sizes and scalars, and addresses of what is in the schedule. */
  readonly params: ParamValues;
  /** Scratch of this region by name: made once. */
  readonly #scratch = new Map<string, BufferView>();

  constructor(call: CallContext, region: PlannedRegion) {
    const { problem, views } = call;
    this.call = call;
    this.region = region;
    const sizes = this.sizes = {
      batch: region.batchEnd - region.batchBegin,
      kvHeads: region.kvHeadEnd - region.kvHeadBegin,
      group: region.groupEnd - region.groupBegin,
      lengthQ: region.rowEnd - region.rowBegin,
      lengthK: region.keyEnd - region.keyBegin,
      headDim: problem.headDim,
      valueDim: problem.valueDim,
    };
    this.heads = sizes.kvHeads * sizes.group;
    this.rows = sizes.batch * this.heads * sizes.lengthQ;
    this.schedule = scheduleOf(problem, region, views, this.#group);
    const { data, byteLength } = this.schedule, buffer = call.scratch(byteLength);
    call.write(buffer, data);
    this.scheduleBuffer = wholeBuffer(buffer, Math.max(16, byteLength));
    this.params = this.#params();
  }

  get #group(): number {
    return this.call.problem.queryHeads / Math.max(1, this.call.problem.kvHeads);
  }

  #params(): ParamValues {
    const { features, softmaxScale, spans, operands } = this.call.problem,
      { sizes, schedule, rows, region } = this;
    const params: Record<string, number> = {
      length_q: sizes.lengthQ,
      length_k: sizes.lengthK,
      batch: sizes.batch,
      group: sizes.group,
      kv_heads: sizes.kvHeads,
      head_dim: sizes.headDim,
      value_dim: sizes.valueDim,
      batch_begin: region.batchBegin,
      head_begin: region.kvHeadBegin * this.#group + region.groupBegin,
      query_begin: region.rowBegin,
      key_begin: region.keyBegin,
      scale: softmaxScale,
      num_splits: region.splits,
      split_rows: rows,
      accumulate: 0,
      kv_head_begin: region.kvHeadBegin,
      query_count: spans[region.batchBegin]!.lengthQ,
      verdicts_at: schedule.verdictsAt,
      classified_at: schedule.classifiedAt,
      verdict_words: schedule.verdictWords,
    };
    if (operands.k?.pages) {
      const { columns, rows, first } = operands.k.pages;
      const pages = { pages_at: schedule.pagesAt, page_columns: columns, page_rows: rows };
      const shift = { page_shift: Math.ceil(Math.log2(rows)) };
      Object.assign(params, pages, shift, { first_row: first + region.keyBegin });
    }
    for (const [name, at] of schedule.functions) params[`${shaderName(name)}_at`] = at;
    for (const use of features) {
      const { operands = [], stage } = feature(use.name);
      const { scalars, words } = numbersOf(use);
      for (const [number, value] of Object.entries({ ...scalars, ...words })) {
        params[shaderName(number)] = value;
      }
      // what joins a row joins it once: in the region that has its first keys
      if (stage === "state" && region.moreKeys) continue;
      for (const operand of operands) {
        const input = schedule.inputs.get(operand);
        if (input) Object.assign(params, address(operand, input));
      }
    }
    return params;
  }

  /** Where every input behind the work items lies, also what joins rows in another region only. */
  scheduledAddresses(): ParamValues {
    const all = [...this.schedule.inputs].map(([name, input]) => address(name, input));
    return Object.assign({}, ...all);
  }

  /** The part of an input that this region reads. */
  input(name: OperandName): BufferView {
    return this.call.turned.view(name, this.region) ??
      this.call.inputs.of(this.call.views[name]!, this.region);
  }

  /** How an input is stored. */
  kind(name: OperandName): StorageKind {
    return storageKind(this.call.views[name]!);
  }

  /** The part of a result that this region writes, in f32. */
  result(name: OperandName): BufferView {
    const { spec, work, first = 0 } = this.call.results.get(name)!, { region } = this;
    const alignment = this.call.home.open.target.limits.offsetAlignment;
    const place = { region, group: this.#group, alignment };
    return viewBuffer(work, -4 * first, name, { ...spec, dtype: "f32" }, place);
  }

  #once(name: string, make: () => BufferView): BufferView {
    let view = this.#scratch.get(name);
    if (!view) this.#scratch.set(name, view = make());
    return view;
  }

  /** Where a gradient is made: scratch like the result where the region's share of it is added later. */
  gradient(name: OperandName): BufferView {
    const added = this.region.steps.some(({ kernel, of }) => kernel === "add" && of === name);
    if (!added) return this.result(name);
    return this.#once(name, () => {
      const view = this.result(name);
      return { ...view, buffer: this.call.zeros(view.size), offset: 0 };
    });
  }

  /** Rows of scratch, `[split][batch][head][query][column]`. */
  #partial(name: string, columns: number, splits: number): BufferView {
    return this.#once(name, () => {
      const { lengthQ } = this.sizes, size = splits * this.rows * columns * 4;
      const strides = [this.heads * lengthQ * columns, lengthQ * columns, columns, 1] as const;
      return { buffer: this.call.scratch(size), offset: 0, size, at: 0, strides };
    });
  }

  #partialStatistics(name: string, splits: number): Bound | undefined {
    if (!this.call.rowStatistics) return undefined;
    return bound(this.#partial(name, STATISTICS, splits));
  }

  /** The rows of the results. */
  get joined(): PartialRows {
    const lse = this.result("lse"), buffer = this.call.rowStatistics;
    return {
      out: this.result("out"),
      lse,
      statistics: buffer &&
        { buffer, offset: STATISTICS * lse.offset, size: STATISTICS * lse.size },
    };
  }

  /** Rows that are merged into the results, where other regions have been there. */
  get merged(): PartialRows {
    if (!this.region.moreKeys) return this.joined;
    return {
      out: this.#partial("merged out", this.sizes.valueDim, 1),
      lse: this.#partial("merged lse", 1, 1),
      statistics: this.#partialStatistics("merged statistics", 1),
    };
  }

  /** Rows of the KV splits. */
  get splits(): PartialRows {
    const { splits } = this.region;
    if (splits === 1) return this.merged;
    return {
      out: this.#partial("split out", this.sizes.valueDim, splits),
      lse: this.#partial("split lse", 1, splits),
      statistics: this.#partialStatistics("split statistics", splits),
    };
  }

  /** Scratch with so many floats a row. */
  rowScratch(name: "stats" | "rowSums", floats: number): Bound {
    const size = this.rows * floats * 4;
    return bound(this.#once(name, () => {
      return { buffer: this.call.scratch(size), offset: 0, size, at: 0, strides: [0, 0, 0, 1] };
    }));
  }

  /** Bindings and addresses of some operands and results, by name. */
  bind(
    views: { readonly [name in OperandName]?: BufferView },
  ): { bindings: Bindings; params: ParamValues } {
    const all = { ...this.#featureViews(), ...views }, names = Object.keys(all) as OperandName[];
    return {
      bindings: {
        schedule: this.scheduleBuffer,
        ...Object.fromEntries(names.map((name) => [name, bound(all[name]!)])),
      },
      params: Object.assign({}, this.params, ...names.map((name) => address(name, all[name]!))),
    };
  }

  /** Operands of features that are bound. */
  #featureViews(): { readonly [name in OperandName]?: BufferView } {
    return Object.fromEntries(
      boundOperands(this.call.problem).map((name) => [name, this.input(name)]),
    );
  }

  /** f32 rows of the value dimension. */
  get valueKind(): StorageKind {
    return { ...VECTORS, scalar: this.sizes.valueDim % 4 !== 0 };
  }
}
