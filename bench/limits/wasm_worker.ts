/**
 * One core of a roofline taken on several at once (see wasm.ts).
 * @module
 */

/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />

import type { RaceOptions } from "../measure/race.ts";
import { measureThread } from "./wasm.ts";

interface Job {
  readonly module: WebAssembly.Module;
  readonly options: RaceOptions;
}

self.onmessage = async (event: MessageEvent<Job>) => {
  self.postMessage(await measureThread(event.data.module, event.data.options));
};
