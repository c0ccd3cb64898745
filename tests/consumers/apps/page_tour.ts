// The tour with the two threads that a browser gives, where it gives them, and a count of those that are up.
import { createEngine } from "@flashtile/attention";
import type { TourReport, WorkersReport } from "./messages.ts";
import { tour } from "./tour.ts";

/** Milliseconds for which a refusal is waited for. */
const REFUSED_MS = 2000;

/** A call that is worth sending to workers, the same with them and without. `threads`: those that another engine got. */
async function shared(threads: number): Promise<WorkersReport> {
  const shape = [1, 1024, 4, 64], n = shape.reduce((size, axis) => size * axis, 1);
  const q = {
    data: Float32Array.from({ length: n }, (_, i) => (i * 7919) % 2003 / 1001 - 1),
    shape,
  };
  const backend = "wasm", one = await createEngine({ backend, threads: 1 });
  const some = await createEngine({ backend, workers: 2 });
  try {
    const want = (await one.attention(q, q, q)).out.data;
    await some.attention(q, q, q);
    // where threads are refused too, the second call is the first that tries workers, once the refusal was heard of
    const crew = () => some.target.backend === "wasm" ? some.target.threads : 1;
    for (let ms = 0; ms < REFUSED_MS && crew() > threads; ms += 20) {
      await new Promise((done) => setTimeout(done, 20));
    }
    await some.attention(q, q, q);
    const got = (await some.attention(q, q, q)).out.data;
    return {
      workers: some.explain(q, q, q).workers ?? 0,
      different: want.findIndex((x, i) => !Object.is(x, got[i])),
      why: some.reason,
    };
  } finally {
    one.dispose();
    some.dispose();
  }
}

/** Takes the tour in a page or a worker of one. */
export async function tourOfPage(): Promise<TourReport> {
  let ready = 0;
  const { Worker } = globalThis;
  globalThis.Worker = class extends Worker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      this.addEventListener("message", ({ data }) => data === "ready" && ready++);
    }
  };
  const engine = await createEngine({ threads: 2 });
  try {
    const report = await tour(engine, () => ready);
    return { ...report, shared: await shared(report.threads) };
  } finally {
    engine.dispose();
  }
}
