// The same for Cloudflare Workers. In a project of your own: npm install wrangler and the package, copy this folder.
import { createEngine } from "@flashtile/attention/wasm";
import wasmModule from "@flashtile/attention/flashtile.wasm";
import { createHandler } from "../handler.ts";
import { LIMITS } from "../limits.ts";

const { memoryBudget } = LIMITS;
const engine = await createEngine({ wasmModule, memoryBudget });

export default { fetch: createHandler(engine) };
