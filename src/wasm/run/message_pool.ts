// Workers that have a memory of their own, for hosts where memory cannot be shared: most pages. Each does what it is
// sent, in order. Starting one takes 15 to 60 ms, which a call that is long enough for them waits for.
import { Bell } from "./bell.ts";
import { refusal } from "./host.ts";
import type { MessageWorkerStart, WorkerJob, WorkerReply } from "./message_worker.ts";
import { type StartedWorker, startWorker } from "./start_worker.ts";
import { messageWorkerSource } from "./worker.gen.ts";

/** Workers that may be lost before no more are started. */
const MOST_LOST = 3;
/** Milliseconds for which a call waits for workers that are starting. */
const START_MS = 2000;

/** A worker, and what it has been sent. */
export class MessageWorker {
  readonly worker: StartedWorker;
  ready = false;
  /** Bytes of its memory, as far as it told. */
  bytes = 65536;
  /** Jobs that have not ended, with what each costs. */
  readonly jobs: Map<number, number> = new Map();

  constructor(worker: StartedWorker) {
    this.worker = worker;
  }

  /** What it has still to do. */
  get load(): number {
    return [...this.jobs.values()].reduce((sum, cost) => sum + cost, 0);
  }
}

/** Pools whose owner was dropped without being disposed of stop their workers. */
const dropped = typeof FinalizationRegistry === "function"
  ? new FinalizationRegistry<MessagePool>((pool) => pool.stop())
  : undefined;

/** The workers of an engine. */
export class MessagePool {
  readonly #start: () => MessageWorkerStart;
  readonly #wanted: number;
  #workers: MessageWorker[] = [];
  #begun = 0;
  #lost = 0;
  #jobs = 0;
  #refused = false;
  #stopped = false;
  #shortage: string | undefined;
  /** Why the call at hand has failed. */
  #failure: string | undefined;
  #heard = new Map<number, WorkerReply>();
  readonly #bell = new Bell();

  /** `start`: asked when the first one starts. */
  constructor(wanted: number, start: () => MessageWorkerStart) {
    this.#start = start;
    this.#wanted = wanted;
  }

  /** Stops the workers when `owner` is collected. Nothing that they hold leads to it. */
  stopWith(owner: object): void {
    dropped?.register(owner, this);
  }

  /** Workers that a call can count on. */
  get available(): number {
    return this.#refused ? this.#workers.length : this.#wanted;
  }

  /** Why there are fewer than were asked for. */
  get shortage(): string | undefined {
    return this.#shortage;
  }

  /** Bytes of their memories. */
  get bytes(): number {
    return this.#workers.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Starts workers in place of those that are missing. */
  begin(): void {
    this.#failure = undefined;
    while (!this.#refused && !this.#stopped && this.#workers.length < this.#wanted) {
      this.#begun = performance.now();
      try {
        this.#add();
      } catch (error) {
        this.#refuse(error);
      }
    }
  }

  /** Whether it is to be heard of. */
  get listening(): boolean {
    return this.starting || this.#workers.some(({ jobs }) => jobs.size > 0);
  }

  #add(): void {
    const hear = (message: unknown) => this.#hear(made, message as WorkerReply | "ready");
    const gone = (error: unknown) => this.#miss(made, error);
    const made: MessageWorker = new MessageWorker(
      startWorker(messageWorkerSource, this.#start(), { hear, gone }),
    );
    this.#workers.push(made);
  }

  /** Whether it is not known yet which workers there are. */
  get starting(): boolean {
    return this.#workers.some(({ ready }) => !ready) && performance.now() - this.#begun < START_MS;
  }

  /** Those that are up. */
  get ready(): readonly MessageWorker[] {
    return this.#workers.filter(({ ready }) => ready);
  }

  #hear(worker: MessageWorker, message: WorkerReply | "ready"): void {
    if (message === "ready") worker.ready = true;
    else if (worker.jobs.has(message.id)) {
      worker.bytes = message.bytes;
      if (message.values || message.error !== undefined) worker.jobs.delete(message.id);
      this.#heard.set(message.id, message);
      this.#failure ??= message.error;
    }
    this.#bell.ring();
  }

  /** No more workers: what keeps one from starting keeps others. */
  #refuse(error: unknown): void {
    this.#refused = true;
    this.#shortage ??= refusal(error);
  }

  #miss(worker: MessageWorker, error: unknown): void {
    if (!this.#workers.includes(worker)) return; // heard of before, or stopped by us
    this.#workers = this.#workers.filter((other) => other !== worker);
    worker.worker.stop();
    if (worker.ready) {
      const why = (error as Error)?.message ?? String(error);
      this.#refused ||= ++this.#lost >= MOST_LOST;
      this.#shortage ??= `a worker was lost (${why})`;
      if (worker.jobs.size > 0) this.#failure ??= why;
    } else this.#refuse(error);
    this.#bell.ring();
  }

  /** Sends a job; returns its number. */
  send(worker: MessageWorker, job: Omit<WorkerJob, "id">, cost: number): number {
    const id = this.#jobs++;
    worker.jobs.set(id, cost);
    worker.worker.post({ id, ...job }, [job.values]);
    return id;
  }

  /** What was last heard of a job. */
  heardOf(id: number): WorkerReply | undefined {
    return this.#heard.get(id);
  }

  /** Lets go of what was heard of a job. */
  forget(id: number): void {
    this.#heard.delete(id);
  }

  /** Why the call at hand cannot end; undefined while it can. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Resolves after a turn of the event loop in which a worker said something, or a while later. */
  heard(): Promise<void> {
    return this.#bell.heard();
  }

  /** Ends a call: a worker that is inside of its work is stopped, since nothing else ends it; another starts when one is needed. */
  end(): void {
    this.#heard.clear();
    for (const worker of this.#workers.filter(({ jobs }) => jobs.size > 0)) {
      this.#workers = this.#workers.filter((other) => other !== worker);
      worker.worker.stop();
    }
  }

  /** Stops all of them. */
  stop(): void {
    this.#stopped = true;
    for (const { worker } of this.#workers.splice(0)) worker.stop();
  }
}
