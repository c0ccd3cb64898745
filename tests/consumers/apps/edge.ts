// A Cloudflare worker. Compiling at run time is forbidden there, so the kernels are imported as a module, a file
// of the package. Any path but "/" shows what happens to a caller who forgets it.
import { createEngine } from "@flashtile/attention";
import wasmModule from "@flashtile/attention/flashtile.wasm";
import { forwardBackward } from "./job.ts";
import { mistake, tour } from "./tour.ts";

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/createEngine") return Response.json(await mistake(() => createEngine()));
    if (pathname === "/attention") return Response.json(await mistake(() => forwardBackward()));
    const engine = await createEngine({ wasmModule, memoryBudget: 64 * 2 ** 20 });
    try {
      return Response.json(await tour(engine));
    } finally {
      engine.dispose();
    }
  },
};
