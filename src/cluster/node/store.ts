// What a node holds: shards and jobs, each until it is closed or its client's lease ends, within a budget of bytes for jobs.
import type { AbortSignalLike } from "../../backend/backend.ts";
import type { Engine } from "../../engine/engine.ts";
import { RefusedError } from "../wire/errors.ts";
import { type Grow, Job } from "./jobs.ts";
import { Leases } from "./leases.ts";
import type { Owner, ShardSpec } from "../wire/requests.ts";
import { Shard } from "./shard.ts";

/** What takes long and is done once, until nobody waits for it. */
interface Running {
  readonly promise: Promise<unknown>;
  readonly end: () => void;
}

/** Shards and jobs of a node. */
export class Store {
  readonly #engine: Engine;
  readonly #jobBytes: number;
  readonly #shards = new Map<string, Shard>();
  readonly #jobs = new Map<string, Job>();
  readonly #running = new Map<string, Running>();
  /** The leases of both. */
  readonly leases: Leases = new Leases();
  /** Called when the first shard of a cache comes, and when its last one has gone. */
  readonly #changed: (cache: string, here: boolean) => void;

  constructor(engine: Engine, jobBytes: number, changed: (cache: string, here: boolean) => void) {
    this.#engine = engine;
    this.#jobBytes = jobBytes;
    this.#changed = changed;
  }

  /** Shards of a cache. */
  shardsOf(cache: string): Shard[] {
    return [...this.#shards].filter(([key]) => key.startsWith(`${cache}/`)).map(([, one]) => one);
  }

  /** All shards, and all jobs. */
  get all(): { readonly shards: readonly Shard[]; readonly jobs: readonly Job[] } {
    return { shards: [...this.#shards.values()], jobs: [...this.#jobs.values()] };
  }

  /** Opens a shard; one that is there already is what a request sent twice asks for. */
  open(cache: string, spec: ShardSpec, owner: Owner): Shard {
    const key = `${cache}/${spec.shard}`, known = this.#shards.get(key);
    if (known) return known;
    const first = this.shardsOf(cache).length === 0, shard = new Shard(this.#engine, spec);
    this.#shards.set(key, shard);
    this.leases.begin(`shard ${key}`, owner.client, owner.lease, () => {
      void this.close(cache, spec.shard);
    });
    if (first) this.#changed(cache, true);
    return shard;
  }

  /** Lets a shard go; `only`: where it is this one. */
  async close(cache: string, number: number, only?: Shard): Promise<void> {
    const key = `${cache}/${number}`, shard = this.#shards.get(key);
    if (!shard || only && only !== shard) return;
    this.#shards.delete(key);
    this.leases.drop(`shard ${key}`);
    if (this.shardsOf(cache).length === 0) this.#changed(cache, false);
    await shard.dispose();
  }

  /** A shard that must be there. */
  shard(cache: string, number: number): Shard {
    const shard = this.#shards.get(`${cache}/${number}`);
    if (shard) return shard;
    throw new RefusedError(
      "missing",
      `Cannot find shard ${number}: the node holds none of that cache`,
    );
  }

  /** A job, made where it is not there yet. */
  begin(name: string, owner: Owner): Job {
    const known = this.#jobs.get(name);
    if (known) return known;
    const job = new Job();
    this.#jobs.set(name, job);
    this.leases.begin(`job ${name}`, owner.client, owner.lease, () => this.drop(name));
    return job;
  }

  /** A job that must be there. */
  job(name: string): Job {
    const job = this.#jobs.get(name);
    if (job) return job;
    throw new RefusedError("missing", "Cannot find the job: the node has none of that name");
  }

  /** Throws where the tensors of jobs would be more than the node has room for. */
  readonly grow: Grow = (bytes, what) => {
    const held = this.all.jobs.reduce((sum, job) => sum + job.bytes, 0);
    if (held + bytes <= this.#jobBytes) return;
    throw new RangeError(
      `Cannot take more: the node holds ${held} bytes of calls and ${bytes} more ${what} but its ` +
        `jobBytes are ${this.#jobBytes}`,
    );
  };

  /** Lets a job go, and what it computes. */
  drop(name: string): void {
    this.#jobs.get(name)?.end();
    this.#jobs.delete(name);
    this.leases.drop(`job ${name}`);
  }

  /** Runs what takes long once: who asks while it runs waits for the same. */
  once<T>(name: string, run: (signal: AbortSignalLike) => Promise<T>): Promise<T> {
    const known = this.#running.get(name);
    if (known) return known.promise as Promise<T>;
    let over = false;
    const throwIfAborted = () => {
      if (over) throw new RefusedError("missing", "Cannot go on: nobody waits for the call");
    };
    const promise = run({ throwIfAborted }).finally(() => this.#running.delete(name));
    this.#running.set(name, { promise, end: () => over = true });
    return promise;
  }

  /** Ends what runs for a call: nobody waits for it any more. */
  giveUp(call: string): void {
    for (const [name, { end }] of this.#running) if (name.startsWith(`${call}/`)) end();
  }

  /** Lets everything go. */
  async dispose(): Promise<void> {
    this.leases.stop();
    this.#jobs.clear();
    await Promise.all([...this.#shards.values()].map((shard) => shard.dispose()));
    this.#shards.clear();
  }
}
