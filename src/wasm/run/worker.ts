// What a worker thread runs. Only its text is shipped: the build takes the types away and writes
// worker.gen.ts, so that whatever treats a user's program (bundlers that keep names, coverage) leaves it
// alone. It goes into a blob or an eval'd worker, so that no file and no permission is needed: the
// function must stand alone, with no import and no name from outside it.

/** What a worker is given to start. */
export interface WorkerStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Where the control block begins, in bytes. */
  readonly control: number;
  /** Which scratch is this worker's, from 1 on. */
  readonly index: number;
  /** Word numbers of the control block (asm/abi.ts, Control). */
  readonly words: {
    readonly published: number;
    readonly next: number;
    readonly done: number;
    readonly items: number;
    readonly first: number;
    readonly failed: number;
    readonly closed: number;
    readonly limit: number;
    readonly tell: number;
    readonly scratch: number;
    readonly left: number;
    readonly leftCount: number;
    readonly busy: number;
    readonly count: number;
  };
}

/**
 * Takes items by a shared counter until the pool is closed; sleeps while there are none. Tells "ready",
 * then "step" whenever it has finished the last item of a region's step (where that is asked for), and
 * what else it tells is an error.
 */
export function workerMain(start: WorkerStart, tell: (message: string) => void): void {
  const { words, memory, index } = start;
  const { exports } = new WebAssembly.Instance(start.module, { env: { memory } });
  const { runTicket } = exports as {
    readonly runTicket: (ticket: number, scratch: number) => number;
  };
  // Only this first page is read here. When another thread grows a shared memory, `memory.buffer` may
  // stay the old, shorter one for a while; the instance itself sees the growth at once.
  const control = new Int32Array(memory.buffer, start.control, words.count);
  const take = (): number | undefined => {
    for (;;) {
      const next = Atomics.load(control, words.next);
      if (index > Atomics.load(control, words.limit)) return undefined;
      if (next === Atomics.load(control, words.published)) return undefined;
      if (Atomics.compareExchange(control, words.next, next, (next + 1) | 0) === next) return next;
    }
  };
  tell("ready");
  for (;;) {
    const published = Atomics.load(control, words.published);
    // before an item is taken: one that is seen idle has none, and takes none once all are taken
    Atomics.store(control, words.busy + index, 1);
    const ticket = take();
    if (ticket === undefined) {
      Atomics.store(control, words.busy + index, 0);
      if (Atomics.load(control, words.closed)) return;
      Atomics.wait(control, words.published, published);
      continue;
    }
    const nth = (ticket - Atomics.load(control, words.first)) | 0;
    const at = (Atomics.load(control, words.items) >>> 0) + nth * 4;
    try {
      const region = runTicket(at, start.control + (words.scratch + index) * 4);
      // before the region may be seen complete: the next call, which may begin then, counts from 0 again
      Atomics.add(control, words.done, 1);
      const left = Atomics.sub(control, words.left + region % words.leftCount, 1);
      if (left === 1 && Atomics.load(control, words.tell)) tell("step");
    } catch (error) {
      tell(String(error));
      Atomics.store(control, words.failed, 1);
      Atomics.add(control, words.done, 1);
    }
    Atomics.notify(control, words.done);
  }
}
