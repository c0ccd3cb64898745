// Streaming: a call that is larger than the memory of the device, region by region. Each has its scratch and its uploads
// for itself and leaves them to the next one; results are made in windows that are read back as soon as they are finished.
import { type AbortSignalLike, type BackendResult, callName } from "../../backend/backend.ts";
import type { AttentionProblem, Views } from "../../problem/problem.ts";
import type { ResultSpec } from "../../problem/results.ts";
import type { GpuPlan, PlannedRegion } from "../../plan/webgpu/plan.ts";
import { BYTES } from "../../tensor/dtype.ts";
import { type OperandName, OPERANDS, STATISTIC_NAMES } from "../../tensor/operands.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { count } from "../../tensor/shape.ts";
import type { GpuBuffer } from "../device/api.ts";
import type { BufferPool } from "../device/memory.ts";
import type { Pipelines } from "../device/pipelines.ts";
import { readBack } from "../device/read_back.ts";
import { Scratch } from "../device/scratch.ts";
import type { Home } from "../device/tensors.ts";
import { GpuCall, type HeldResults } from "./call.ts";
import type { MadeResult } from "./dispatch.ts";
import { type Recorded, submitCall } from "./record.ts";
import { narrowSteps } from "./elementwise.ts";
import { STATISTICS } from "./region_call.ts";
import { collectResults, type Made, makeResults, releaseResults } from "./results.ts";
import { componentOf, followsRows, HostWindows, isWindow } from "./windows.ts";

/** What a call streams. */
export interface StreamedCall {
  readonly problem: AttentionProblem;
  readonly plan: GpuPlan;
  readonly views: Views;
  readonly specs: readonly ResultSpec[];
}

/** A window on the device. */
interface Window {
  readonly spec: ResultSpec;
  readonly count: number;
  readonly made: MadeResult;
}

const STATISTIC = new Set<OperandName>(STATISTIC_NAMES);

/** Results of a streamed call on the device: those that are whole, and the windows of the region at hand. */
export class DeviceWindows {
  readonly #call: StreamedCall;
  readonly #whole: Scratch;
  readonly #rows: Scratch;
  readonly #region: Scratch;
  readonly #windows = new Map<OperandName, Window>();
  readonly #results = new Map<OperandName, MadeResult>();
  /** Of whole results, and of the rows at hand. */
  #statistics: GpuBuffer | undefined;

  /** `made`: the results that stay on the device. */
  constructor(memory: BufferPool, call: StreamedCall, made: readonly Made[]) {
    this.#call = call;
    [this.#whole, this.#rows, this.#region] = [
      new Scratch(memory),
      new Scratch(memory),
      new Scratch(memory),
    ];
    for (const { spec, buffer } of made) {
      if (isWindow(spec)) continue;
      const narrow = BYTES[spec.dtype] < 4;
      const work = narrow ? this.#whole.take(count(spec.shape) * 4) : buffer;
      this.#results.set(spec.name, { spec, buffer, work });
    }
  }

  /** What a call of one region binds. */
  get held(): HeldResults {
    return { results: this.#results, rowStatistics: this.#statistics };
  }

  /** Windows that live as long as the rows, or as the region. */
  windows(ofRows: boolean): Window[] {
    return [...this.#windows.values()].filter(({ spec }) => followsRows(spec.name) === ofRows);
  }

  /** Makes the windows of a region; gives those that must be cleared. */
  begin(region: PlannedRegion): GpuBuffer[] {
    const { problem, specs } = this.#call, group = problem.queryHeads / problem.kvHeads;
    const cleared: GpuBuffer[] = [];
    for (const spec of specs.filter(isWindow)) {
      const { name } = spec, ofRows = followsRows(name);
      if (STATISTIC.has(name) || (ofRows && region.moreKeys)) continue;
      const { first, count } = HostWindows.range(spec, region, group);
      const buffer = (ofRows ? this.#rows : this.#region).take(count * 4);
      const made: MadeResult = { spec, buffer, work: buffer, first };
      this.#results.set(name, made);
      this.#windows.set(name, { spec, count, made });
      if (OPERANDS[name].summed) cleared.push(buffer);
      if (name === "lse" && problem.statistics.length > 0) {
        this.#statistics = this.#rows.take(STATISTICS * 4 * count);
      }
    }
    return cleared;
  }

  /** The buffer of statistics, where there are some. */
  get statistics(): GpuBuffer | undefined {
    return this.#statistics;
  }

  /** Gives the windows of a region back, and those of its rows. */
  end(ofRows: boolean): void {
    this.#region.give();
    if (ofRows) this.#rows.give();
  }

  /** Gives everything back. */
  dispose(): void {
    for (const scratch of [this.#whole, this.#rows, this.#region]) scratch.give();
  }
}

/** Runs a streamed call. */
export class Stream {
  readonly #home: Home;
  readonly #call: StreamedCall;
  readonly #made: readonly Made[];
  readonly #device: DeviceWindows;
  readonly #host: HostWindows;
  readonly #pipelines: Pipelines;
  readonly #action: string;

  /** `made`: the results that stay on the device; `into`: where others go. */
  constructor(
    home: Home,
    call: StreamedCall,
    { made, into }: { readonly made: readonly Made[]; readonly into?: Views | undefined },
    pipelines: Pipelines,
    action: string,
  ) {
    this.#home = home;
    this.#call = call;
    this.#made = made;
    this.#device = new DeviceWindows(home.memory, call, made);
    this.#host = new HostWindows(call.problem, call.specs, into);
    this.#pipelines = pipelines;
    this.#action = action;
  }

  /** Runs all regions; the results that were made in windows. */
  async run(
    signal: AbortSignalLike | undefined,
  ): Promise<ReadonlyMap<OperandName, HostTensor>> {
    const { plan, specs } = this.#call;
    try {
      this.#clear(this.#made.filter(({ spec }) => OPERANDS[spec.name].summed));
      for (const region of plan.regions) {
        signal?.throwIfAborted();
        await this.#region(region, signal);
      }
      await this.#narrowWhole(signal);
      return this.#host.finish(specs);
    } finally {
      this.#device.dispose();
    }
  }

  #clear(buffers: readonly { readonly buffer: GpuBuffer }[]): void {
    if (buffers.length === 0) return;
    const { device } = this.#home.open, encoder = device.createCommandEncoder();
    for (const { buffer } of buffers) encoder.clearBuffer(buffer);
    device.queue.submit([encoder.finish()]);
  }

  async #submit(recorded: Recorded, signal: AbortSignalLike | undefined): Promise<void> {
    await submitCall(this.#home.open, this.#pipelines, recorded, this.#action, signal);
  }

  async #region(region: PlannedRegion, signal: AbortSignalLike | undefined): Promise<void> {
    const { problem, plan, views } = this.#call, device = this.#device, { open } = this.#home;
    this.#clear(device.begin(region).map((buffer) => ({ buffer })));
    const only = { ...plan, regions: [region], last: [] };
    const call = new GpuCall(this.#home, problem, only, views, [], device.held);
    try {
      await this.#submit({ call, steps: call.steps() }, signal);
    } finally {
      call.dispose();
    }
    // what the queue copies for uploads is nobody's scratch: it must not pile up
    if (await this.#bringHome(region)) return device.end(region.lastKeys);
    await open.whileAlive(open.device.queue.onSubmittedWorkDone(), this.#action);
    device.end(region.lastKeys);
  }

  /** Reads back what is finished; whether there was something. */
  async #bringHome(region: PlannedRegion): Promise<boolean> {
    const windows = [
      ...this.#device.windows(false),
      ...(region.lastKeys ? this.#device.windows(true) : []),
    ];
    const wanted = windows.map(({ spec, count, made }) => {
      const data = spec.dtype === "i32" ? new Int32Array(count) : new Float32Array(count);
      return { spec, buffer: made.work, bytes: count * 4, host: { data, shape: [count] } };
    });
    const lse = region.lastKeys && windows.find(({ spec }) => spec.name === "lse");
    const { statistics } = this.#device, rows = lse && statistics ? STATISTICS * lse.count : 0;
    const four = new Float32Array(rows);
    const extra = rows > 0
      ? [{ buffer: statistics!, bytes: rows * 4, host: { data: four, shape: [rows] } }]
      : [];
    await readBack(this.#home.open, this.#home.memory, [...wanted, ...extra], this.#action);
    for (const { spec, host } of wanted) {
      this.#host.put({ spec, region, values: host.data as Float32Array });
    }
    if (rows === 0) return wanted.length > 0;
    for (const spec of this.#call.specs.filter(({ name }) => STATISTIC.has(name))) {
      if (isWindow(spec)) this.#host.put({ spec, region, values: componentOf(four, spec.name) });
    }
    return true;
  }

  /** Results in 16 bits that stayed on the device, and were made in f32. */
  async #narrowWhole(signal: AbortSignalLike | undefined): Promise<void> {
    const { limits } = this.#home.open.target, scratch = new Scratch(this.#home.memory);
    const steps = [...this.#device.held.results.values()].flatMap(({ spec, work, buffer }) =>
      isWindow(spec) || work === buffer
        ? []
        : narrowSteps(work, buffer, count(spec.shape), spec.dtype as "f16", limits)
    );
    if (steps.length === 0) return;
    try {
      const call = { scratch: (bytes: number) => scratch.take(bytes) };
      await this.#submit({ call, steps }, signal);
    } finally {
      scratch.give();
    }
  }
}

/** Runs a call part by part; its results, wherever they belong. */
export async function runStreamed(
  home: Home,
  pipelines: Pipelines,
  call: StreamedCall,
  into: Views | undefined,
  signal: AbortSignalLike | undefined,
): Promise<BackendResult[]> {
  const { views, specs, problem } = call, name = callName(problem);
  const made = makeResults(home, specs.filter((spec) => !isWindow(spec)), into, views);
  try {
    const stream = new Stream(home, call, { made, into }, pipelines, `Cannot run ${name}`);
    const parts = await stream.run(signal), whole = await collectResults(home, made, name);
    releaseResults(home, made, false);
    return specs.map(({ name }) => ({
      name,
      tensor: parts.get(name) ?? whole.find((result) => result.name === name)!.tensor,
    }));
  } catch (error) {
    releaseResults(home, made, true);
    throw error;
  }
}
