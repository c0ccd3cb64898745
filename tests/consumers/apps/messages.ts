// What the apps send to the runner. Apart from them, so that the runner never imports the library.

/** All results of a forward and a backward pass as plain numbers, fit for JSON. */
export interface Numbers {
  readonly out: number[];
  readonly lse: number[];
  readonly dq: number[];
  readonly dk: number[];
  readonly dv: number[];
}

/** What script.ts prints. */
export interface ScriptReport {
  readonly byDefault: Numbers;
  readonly one: Numbers;
  readonly two: Numbers;
  /** The same engine as `two` once more, its threads now up. */
  readonly again: Numbers;
  /** Threads that each of the three used. */
  readonly threads: readonly number[];
  /** Milliseconds since the epoch, when the work was done. */
  readonly at: number;
}

/** What threads.ts prints. */
export interface ThreadsReport {
  readonly numbers: Numbers;
  /** Threads that the engine says it has, after its workers had time to come up. */
  readonly threads: number;
  /** Workers that said that they are up. */
  readonly ready: number;
  readonly reason: string;
}

/** What once.ts prints. */
export interface OnceReport {
  readonly length: number;
  readonly at: number;
}

/** What tfjs.ts prints. */
export interface TfjsReport {
  readonly numbers: Numbers;
  /** Of the two steps. */
  readonly losses: readonly number[];
}

/** What worker_main.ts prints. */
export interface WorkerReport {
  readonly numbers: Numbers;
  /** What became of reading a file in the worker. */
  readonly read: string;
}

/** What became of a call in edge.ts that forgot `wasmModule`. */
export interface Mistake {
  readonly name: string;
  readonly message: string;
}
