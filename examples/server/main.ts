/**
 * Serves a trained model: `deno serve --allow-read examples/server/main.ts MODEL`. `--help` has the
 * flags. Reading the model is all that needs a permission.
 */
import { openModel } from "../llama/model_file.ts";
import { openEngine } from "../llama/open_engine.ts";
import { openService } from "./open_service.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import type { Service } from "./service.ts";

/** For the last bytes of answers to leave, once all texts have ended. */
const FLUSH_MS = 250;

let stopping = false;

const { fetch } = await start();
const server: Deno.ServeDefaultExport = { fetch };
export default server;

async function start(): Promise<Service> {
  try {
    const options = parseOptions(Deno.args);
    if (options) return await open(options);
    console.log(HELP);
    Deno.exit(0);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}

async function open(options: Options): Promise<Service> {
  const { model, tokenizer } = await openModel(options.model, options.tokenizer);
  const engine = await openEngine(options);
  const name = options.model.replace(/^.*[/\\]/, "").replace(/\.\w+$/, "");
  const { service, caches } = openService(engine, model, tokenizer, { ...options, name });
  console.error(`model "${name}" on ${engine.backend}: ${engine.reason}`);
  console.error(
    `${options.sequences} texts at once, ${caches.rows} tokens in ${caches.bytes} bytes of caches`,
  );
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => stop(service));
  }
  return service;
}

/** Lets what runs end; the second time it does not. */
async function stop(service: Service): Promise<void> {
  if (stopping) Deno.exit(130);
  stopping = true;
  console.error("stopping: running texts end first");
  await service.drain();
  setTimeout(() => Deno.exit(0), FLUSH_MS);
}
