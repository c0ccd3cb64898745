// Builds the page and serves it on this machine, with the headers that threads need.
//
//   deno task page [--port 8000] [--no-isolation]     without isolation: as a host that sends no headers would
import { parseArgs } from "node:util";
import { buildPage } from "./bundle.ts";
import { answer, ISOLATION } from "./files.ts";

function options(): { port: number; isolated: boolean } {
  const { values } = parseArgs({
    args: Deno.args,
    allowNegative: true,
    options: {
      port: { type: "string", default: "8000" },
      isolation: { type: "boolean", default: true },
    },
  });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new RangeError(`Cannot serve the page: --port is "${values.port}" but must be a port`);
  }
  return { port, isolated: values.isolation };
}

async function main(): Promise<void> {
  const { port, isolated } = options();
  const folder = await Deno.makeTempDir({ prefix: "flashtile-page-" });
  const { promise: asked, resolve: stop } = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => stop());
  try {
    await buildPage(folder);
    const server = Deno.serve({
      hostname: "127.0.0.1",
      port,
      onListen: ({ port }) => console.log(`the page is at http://127.0.0.1:${port}/`),
    }, (request) => answer(folder, request, isolated ? ISOLATION : {}));
    await asked;
    // requests that are under way may take as long as they like: nobody waits for them
    await Promise.race([server.shutdown(), new Promise((resolve) => setTimeout(resolve, 500))]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

try {
  await main();
} catch (error) {
  console.error((error as Error).message);
  Deno.exit(1);
}
Deno.exit(0);
