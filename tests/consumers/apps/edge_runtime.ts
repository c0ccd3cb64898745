// For @edge-runtime/vm: the module comes from another realm, and `process` throws at a look, as in Next.js.
import { createEngine } from "@flashtile/attention";
import { mistake, tour } from "./tour.ts";

const host = globalThis as unknown as { wasmModule: object; report: Promise<unknown> };

host.report = (async () => {
  const forgotten = await mistake(() => createEngine({ backend: "wasm" }).then((e) => tour(e)));
  const engine = await createEngine({ wasmModule: host.wasmModule });
  return { forgotten, report: await tour(engine) };
})();
