/**
 * One core of a roofline taken on several at once (see roofline.ts).
 * @module
 */

/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />

import { measureLimits } from "./wasm_thread.ts";
import type { RaceOptions } from "../measure/race.ts";

interface Job {
  readonly module: WebAssembly.Module;
  readonly options: RaceOptions;
}

self.onmessage = async (event: MessageEvent<Job>) => {
  self.postMessage(await measureLimits(event.data.module, event.data.options));
};
