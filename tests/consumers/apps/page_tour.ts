// The tour with the two threads that a browser gives, where it gives them, and a count of those that are up.
import { createEngine } from "@flashtile/attention";
import type { TourReport } from "./messages.ts";
import { tour } from "./tour.ts";

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
    return await tour(engine, () => ready);
  } finally {
    engine.dispose();
  }
}
