// A plain script, for Deno and Node: default engine, one thread, two threads, and nothing is disposed.
// The process must end by itself; `at` tells the runner when the script had nothing left to do.
import { createEngine } from "@flashtile/attention";
import { forwardBackward, threadsOf } from "./job.ts";
import type { ScriptReport } from "./messages.ts";
import { tour } from "./tour.ts";

const byDefault = await forwardBackward();
const one = await createEngine({ threads: 1 }), two = await createEngine({ threads: 2 });
const report: ScriptReport = {
  byDefault,
  one: await forwardBackward(one),
  two: await tour(two),
  again: await forwardBackward(two),
  // a second engine of the default kind: the shared one cannot be reached from outside
  threads: [await createEngine(), one, two].map(threadsOf),
  at: Date.now(),
};
console.log(JSON.stringify(report));
