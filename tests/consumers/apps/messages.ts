// What the apps send to the runner. Apart from them, so that the runner never imports the library.

/** All results of a forward and a backward pass as plain numbers, fit for JSON. */
export interface Numbers {
  readonly out: number[];
  readonly lse: number[];
  readonly dq: number[];
  readonly dk: number[];
  readonly dv: number[];
}

/** What became of a call that is wrong. */
export interface Mistake {
  readonly name: string;
  readonly message: string;
}

/** What became of a call on an engine with two workers. */
export interface WorkersReport {
  /** Those that it has for such a call afterwards. */
  readonly workers: number;
  /** The first number that differs from those of one thread; -1 where none does. */
  readonly different: number;
  readonly why: string;
}

/** What every host says of an engine. */
export interface TourReport {
  readonly numbers: Numbers;
  /** The last rows of out, decoded one by one. */
  readonly decoded: number[];
  readonly mistake: Mistake;
  readonly backend: string;
  readonly reason: string;
  /** Threads that the engine says it has, after its workers had time to come up. */
  readonly threads: number;
  /** Workers that said that they are up, where somebody listened. */
  readonly ready: number;
  /** Of pages. */
  readonly shared?: WorkersReport;
}

/** What script.ts prints. */
export interface ScriptReport {
  readonly byDefault: Numbers;
  readonly one: Numbers;
  readonly two: TourReport;
  /** The same engine as `two` once more, its threads now up. */
  readonly again: Numbers;
  /** Threads that each of the three used. */
  readonly threads: readonly number[];
  /** Milliseconds since the epoch, when the work was done. */
  readonly at: number;
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
  readonly report: TourReport;
  /** What became of reading a file in the worker. */
  readonly read: string;
}
