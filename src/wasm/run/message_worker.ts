// What a worker runs that has a memory of its own and is sent its work, where memory cannot be shared. Only its text
// is shipped, as that of worker.ts: the function must stand alone, with no import and no name from outside it.

/** What such a worker is given to start. */
export interface MessageWorkerStart {
  readonly module: WebAssembly.Module;
  /** Pages that its memory may grow to. */
  readonly maximum: number;
}

/** Where some bytes lie. */
export type Place = readonly [at: number, bytes: number];

/** Work: the addresses are those of the memory of who sends it, of which the worker's is an image. */
export interface WorkerJob {
  readonly id: number;
  /** Pages of that memory. */
  readonly pages: number;
  /** What is written to some places, one behind the other. A buffer: Deno takes 0.5 s for 2 MB in a typed array. */
  readonly values: ArrayBuffer;
  readonly writes: readonly Place[];
  /** Records of items, in the order in which they run. */
  readonly items: readonly number[];
  readonly scratch: number;
  /** What comes back. */
  readonly reads: readonly Place[];
}

/** What a worker tells of its work. */
export interface WorkerReply {
  readonly id: number;
  /** Items that are done. */
  readonly done: number;
  /** Once all are: what was to come back. */
  readonly values?: ArrayBuffer;
  readonly error?: string;
  /** Bytes of its memory. */
  readonly bytes: number;
}

/** Tells "ready", then does what it is sent, in order. */
export function messageWorkerMain(
  start: MessageWorkerStart,
  tell: (message: WorkerReply | "ready", transfer?: ArrayBuffer[]) => void,
): (job: WorkerJob) => void {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: start.maximum });
  const { exports } = new WebAssembly.Instance(start.module, { env: { memory } });
  const { run } = exports as { readonly run: (item: number, scratch: number) => void };
  tell("ready");
  return ({ id, pages, values, writes, items, scratch, reads }) => {
    let done = 0, told = performance.now();
    const bytes = () => memory.buffer.byteLength;
    try {
      if (pages * 65536 > bytes()) memory.grow(pages - bytes() / 65536);
      const all = new Uint8Array(memory.buffer);
      let from = 0;
      for (const [at, count] of writes) {
        all.set(new Uint8Array(values, from, count), at);
        from += count;
      }
      for (const item of items) {
        run(item, scratch);
        done++;
        if (performance.now() - told < 20) continue;
        tell({ id, done, bytes: bytes() });
        told = performance.now();
      }
      const results = new Uint8Array(reads.reduce((sum, [, count]) => sum + count, 0));
      let to = 0;
      for (const [at, count] of reads) {
        results.set(all.subarray(at, at + count), to);
        to += count;
      }
      tell({ id, done, values: results.buffer, bytes: bytes() }, [results.buffer]);
    } catch (error) {
      tell({ id, done, error: String(error), bytes: bytes() });
    }
  };
}
