// Regions of a call on workers that are sent their work: a region is brought into this thread's memory as always, its
// blocks go to one of them, and what it made comes back to the same addresses.
import type { AbortSignalLike } from "../../backend/backend.ts";
import { type PlannedRegion, sharedItems } from "../../plan/wasm/plan.ts";
import type { LinearMemory } from "../memory/linear_memory.ts";
import type { MessagePool, MessageWorker } from "./message_pool.ts";
import type { Progress } from "./queue.ts";
import { WorkerFailure } from "./runner.ts";
import type { ThreadScratch } from "./scratch.ts";
import type { Block, StagedRegion, Staging } from "./staging.ts";

/** Regions that depend on each other: those that add to the same dK and dV run on one worker, one behind the other. */
const chainOf = ({ batchBegin, kvHeadBegin, keyBegin }: PlannedRegion) =>
  `${batchBegin} ${kvHeadBegin} ${keyBegin}`;

const pairsOf = ({ steps }: PlannedRegion): number =>
  steps.reduce((sum, { items }) => items.reduce((n, { pairs }) => n + pairs, sum), 0);

/** Sends regions and takes back what they made. */
export class MessageRunner {
  readonly #pool: MessagePool;
  readonly #memory: LinearMemory;
  readonly #staging: Staging;
  readonly #scratch: ThreadScratch;
  /** Blocks that each worker has already. */
  readonly #sent = new Map<MessageWorker, WeakSet<Block>>();
  readonly #chains = new Map<string, MessageWorker>();
  readonly #jobs = new Map<StagedRegion, { id: number; leaving: readonly Block[] }>();
  #finished = 0;

  constructor(
    pool: MessagePool,
    memory: LinearMemory,
    staging: Staging,
    scratch: ThreadScratch,
  ) {
    this.#pool = pool;
    this.#memory = memory;
    this.#staging = staging;
    this.#scratch = scratch;
  }

  /** The worker of a region: that of its chain, or the one with least to do. */
  #workerOf(region: PlannedRegion): MessageWorker {
    const chain = region.accumulate ? this.#chains.get(chainOf(region)) : undefined;
    const [first, ...others] = this.#pool.ready;
    if (!first) throw new WorkerFailure();
    const free = others.reduce((least, one) => one.load < least.load ? one : least, first);
    this.#chains.set(chainOf(region), chain ?? free);
    return chain ?? free;
  }

  /** Sends a region. */
  send(staged: StagedRegion): void {
    const worker = this.#workerOf(staged.region), { memory } = this.#memory;
    const sent = this.#sent.get(worker) ?? new WeakSet<Block>();
    this.#sent.set(worker, sent);
    const fresh = this.#staging.needs(staged).filter((block) => !sent.has(block));
    for (const block of fresh) sent.add(block);
    const leaving = this.#staging.leaving(staged);
    const values = new Uint8Array(fresh.reduce((sum, { bytes }) => sum + bytes, 0));
    let to = 0;
    for (const { pointer, bytes } of fresh) {
      values.set(this.#memory.u8(pointer, bytes), to);
      to += bytes;
    }
    const id = this.#pool.send(worker, {
      pages: memory.buffer.byteLength / 65536,
      values: values.buffer,
      writes: fresh.map(({ pointer, bytes }) => [pointer, bytes]),
      items: staged.steps.flat(),
      scratch: this.#scratch.own,
      reads: leaving.map(({ pointer, bytes }) => [pointer, bytes]),
    }, pairsOf(staged.region));
    this.#jobs.set(staged, { id, leaving });
  }

  /** Whether a region is done; what it made is in this thread's memory then. */
  done(staged: StagedRegion): boolean {
    if (this.#pool.failure !== undefined) throw new WorkerFailure();
    const { id, leaving } = this.#jobs.get(staged)!, reply = this.#pool.heardOf(id);
    if (!reply?.values) return false;
    let from = 0;
    for (const { pointer, bytes } of leaving) {
      this.#memory.u8(pointer, bytes).set(new Uint8Array(reply.values, from, bytes));
      from += bytes;
    }
    this.#pool.forget(id);
    this.#jobs.delete(staged);
    this.#finished += reply.done;
    return true;
  }

  /** Items of the call that are done. */
  finished(): number {
    let done = this.#finished;
    for (const { id } of this.#jobs.values()) done += this.#pool.heardOf(id)?.done ?? 0;
    return done;
  }

  /** Ends what goes on. */
  cancel(): void {
    this.#pool.end();
  }

  /** Whether nothing goes on. */
  idle(): boolean {
    return true;
  }

  dispose(): void {
    this.#pool.end();
  }
}

/** What regions run with. */
interface Means {
  readonly staging: Staging;
  readonly runner: MessageRunner;
  /** Regions that may be in memory at the same time. */
  readonly places: number;
}

/** Runs the regions of a plan on workers. Results leave in the order of the plan where they are added to each other. */
export function* runOnWorkers(
  planned: readonly PlannedRegion[],
  { staging, runner, places }: Means,
  ordered: boolean,
  signal: AbortSignalLike | undefined,
): Progress<void> {
  const active: StagedRegion[] = [],
    items = signal?.progress ? sharedItems({ regions: planned }) : 0;
  // those that take longest first, so that workers finish together
  const regions = ordered ? planned : planned.toSorted((a, b) => pairsOf(b) - pairsOf(a));
  let next = 0;
  while (next < regions.length || active.length > 0) {
    signal?.throwIfAborted();
    signal?.progress?.(items > 0 ? Math.min(1, runner.finished() / items) : 0);
    if (next < regions.length && active.length < places) {
      const staged = yield* staging.stage(regions[next]!, next);
      active.push(staged);
      next++;
      runner.send(staged);
      yield "work";
      continue;
    }
    const at = ordered
      ? (runner.done(active[0]!) ? 0 : -1)
      : active.findIndex((staged) => runner.done(staged));
    if (at < 0) {
      yield "threads";
      continue;
    }
    const [staged] = active.splice(at, 1);
    yield* staging.collect(staged!);
    yield "work";
  }
}
