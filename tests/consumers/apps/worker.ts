// Runs inside a worker without any permission and sends the numbers to whoever started it.
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { forwardBackward } from "./job.ts";
import type { WorkerReport } from "./messages.ts";

let read: string;
try {
  Deno.readTextFileSync("deno.json");
  read = "granted";
} catch (error) {
  read = (error as Error).name;
}
const report: WorkerReport = { numbers: await forwardBackward(), read };
self.postMessage(report);
self.close();
