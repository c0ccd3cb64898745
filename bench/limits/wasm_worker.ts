/**
 * One core of a roofline taken on several at once (see wasm.ts).
 * @module
 */

/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />

import { measureThread } from "./wasm.ts";

self.onmessage = async (event: MessageEvent<Parameters<typeof measureThread>>) => {
  self.postMessage(await measureThread(...event.data));
};
