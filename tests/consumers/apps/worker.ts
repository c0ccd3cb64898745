// Runs inside a worker without any permission and sends the numbers to whoever started it.
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { createEngine } from "@flashtile/attention";
import type { WorkerReport } from "./messages.ts";
import { tour } from "./tour.ts";

let read: string;
try {
  Deno.readTextFileSync("deno.json");
  read = "granted";
} catch (error) {
  read = (error as Error).name;
}
const report: WorkerReport = { report: await tour(await createEngine()), read };
self.postMessage(report);
self.close();
