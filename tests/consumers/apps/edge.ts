// A Cloudflare worker. Compiling at run time is forbidden there, so the kernel is imported as a module
// (apps/build_kernel.ts wrote it). Any path but "/" shows what happens to a caller who forgets it.
import { createEngine } from "@flashtile/attention";
import { forwardBackward } from "./job.ts";
import wasmModule from "./kernel.wasm";
import type { Mistake } from "./messages.ts";

/** Name and message of what went wrong without `wasmModule`, or "nothing". */
async function forgetful(run: () => Promise<unknown>): Promise<Mistake> {
  try {
    await run();
    return { name: "nothing", message: "" };
  } catch (error) {
    const { name, message } = error as Error;
    return { name, message };
  }
}

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/createEngine") return Response.json(await forgetful(() => createEngine()));
    if (pathname === "/attention") return Response.json(await forgetful(() => forwardBackward()));
    const engine = await createEngine({ wasmModule });
    try {
      return Response.json(await forwardBackward(engine));
    } finally {
      engine.dispose();
    }
  },
};
