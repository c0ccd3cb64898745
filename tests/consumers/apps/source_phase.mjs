// `import source` of the kernels: a compiled module where the host knows .wasm files (Node 24.5 and later, Deno 2.6
// and later). Not TypeScript, which does not know that form of import.
import source wasmModule from "@flashtile/attention/flashtile.wasm";
import { createEngine } from "@flashtile/attention";
import { tour } from "./dist/tour.js";

const engine = await createEngine({ wasmModule });
console.log(JSON.stringify(await tour(engine)));
engine.dispose();
