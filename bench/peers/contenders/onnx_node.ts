/**
 * onnxruntime-node: native code with AVX-512. Not a WebAssembly library, so not a rival, but the
 * mark that shows what the same processor does without WebAssembly.
 * @module
 */

import * as runtime from "onnxruntime-node";
import type { Job, Prepared } from "../job.ts";
import { prepareSession } from "./onnx_session.ts";

export async function prepare(job: Job): Promise<Prepared> {
  return await prepareSession(runtime, job, {
    executionProviders: ["cpu"],
    intraOpNumThreads: job.threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
}
