// Deno, from source and from the tarball: types, a script, `deno serve` and a worker.
import { ok } from "node:assert/strict";
import type { TourReport, WorkerReport } from "../apps/messages.ts";
import { checkOnce, checkScript, checkTour } from "../check.ts";
import { STRICT_CONFIG } from "../install.ts";
import { deno, withServer } from "../process.ts";
import type { Consumer } from "./consumer.ts";

/** The library's types as Deno sees them; edge.ts needs a .wasm file, tsc checks it. */
async function types(cwd: string, flags: readonly string[] = []): Promise<string> {
  const apps = ["script", "once", "serve", "worker_main", "build_kernel", "types"];
  const files = apps.map((name) => `${name}.ts`);
  const args = ["check", "--unstable-worker-options", ...flags, ...files];
  await deno(args, { cwd, seconds: 180 }); // 10 s, a minute on a machine with much else to do
  return "no type error";
}

/** From source, which Deno compiles with the options of the project that imports it. */
export function strictConsumer(cwd: string): Consumer {
  return {
    name: "deno check with every strict option, source",
    run: () => types(cwd, ["--config", STRICT_CONFIG]),
  };
}

async function script(cwd: string): Promise<string> {
  const { stdout, end } = await deno(["run", "--no-prompt", "script.ts"], { cwd });
  return checkScript(stdout, end);
}

async function once(cwd: string): Promise<string> {
  const { stdout, end } = await deno(["run", "--no-prompt", "once.ts"], { cwd });
  return checkOnce(stdout, end);
}

async function serve(cwd: string): Promise<string> {
  return await withServer(["--no-prompt", "serve.ts"], cwd, async (url) => {
    let text = "";
    // the second request finds a warm engine, and both may run at a time
    for (const requests of [1, 2]) {
      const answers = Array.from({ length: requests }, async () => {
        const response = await fetch(url, { signal: AbortSignal.timeout(30_000) });
        ok(response.ok, `status ${response.status}: ${await response.clone().text()}`);
        return checkTour(await response.json() as TourReport);
      });
      [text = ""] = await Promise.all(answers);
    }
    return `3 requests, ${text}`;
  });
}

async function worker(cwd: string): Promise<string> {
  const flags = ["--unstable-worker-options", "--allow-read", "--no-prompt"];
  const { stdout } = await deno(["run", ...flags, "worker_main.ts"], { cwd });
  const { report, read } = JSON.parse(stdout) as WorkerReport;
  // otherwise the worker was not the sealed one that this is about
  ok(read === "NotCapable", `reading a file in the worker: ${read}, wanted NotCapable`);
  return checkTour(report);
}

/** Only packed: JSR takes no .wasm file that imports memory, and from source there is none. */
export function sourcePhaseConsumer(cwd: string): Consumer {
  return {
    name: "deno, import source of flashtile.wasm, packed",
    run: async () => {
      const { stdout } = await deno(["run", "--no-prompt", "source_phase.mjs"], { cwd });
      return checkTour(JSON.parse(stdout) as TourReport, { threads: 1 });
    },
  };
}

/** All consumers of one installation. */
export function denoConsumers(from: string, cwd: string): Consumer[] {
  return [
    { name: `deno check, ${from}`, run: () => types(cwd) },
    { name: `deno run without permissions, threads 1 and 2, ${from}`, run: () => script(cwd) },
    { name: `deno run, one call and no dispose, ${from}`, run: () => once(cwd) },
    { name: `deno serve without permissions, ${from}`, run: () => serve(cwd) },
    { name: `deno worker with permissions "none", ${from}`, run: () => worker(cwd) },
  ];
}
