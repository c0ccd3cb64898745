/** Orders documents by their embeddings: `deno task edge`, or `deno serve examples/edge/main.ts`. No permission. */
import { createEngine } from "../../mod.ts";
import { createHandler } from "./handler.ts";
import { LIMITS } from "./limits.ts";

const { memoryBudget } = LIMITS;
const engine = await createEngine({ backend: "wasm", threads: 1, memoryBudget });
console.error(`POST /rerank, GET /health; ${engine.reason}`);

const server: Deno.ServeDefaultExport = { fetch: createHandler(engine) };
export default server;
