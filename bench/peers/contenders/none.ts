/**
 * The contender that does nothing: what a process costs before any library is loaded.
 * @module
 */

import { operands } from "../../cases.ts";
import type { Job, Prepared } from "../job.ts";

export function prepare(job: Job): Promise<Prepared> {
  const { q } = operands(job.case);
  return Promise.resolve({ run() {}, outputs: () => ({ out: q }) });
}
