/**
 * onnxruntime-web, WebAssembly execution provider. The package's Node entry is the one that works
 * with threads in Deno; `onnxruntime-web/wasm` fails there on its blob worker.
 * @module
 */

import * as runtime from "onnxruntime-web";
import type { Job, Prepared } from "../job.ts";
import { prepareSession } from "./onnx_session.ts";

export async function prepare(job: Job): Promise<Prepared> {
  runtime.env.wasm.numThreads = job.threads;
  runtime.env.logLevel = "error";
  return await prepareSession(runtime, job, { executionProviders: ["wasm"], logSeverityLevel: 3 });
}
