// The consumers of the library: packs and installs it, lets every host run forward and backward, and
// compares the numbers with float64. One line for each; the last line is "N passed, N failed".
//
//   deno task test:consumers [--all] [WORD...]     only consumers whose name holds one of the words; --all: every
//                                                  version of Node in use, Firefox, and longer load
import { variable } from "../selection.ts";
import { browserConsumers } from "./hosts/browsers.ts";
import { bunConsumers } from "./hosts/bun.ts";
import type { Consumer } from "./hosts/consumer.ts";
import { denoConsumers, sourcePhaseConsumer, strictConsumer } from "./hosts/deno.ts";
import { edgeRuntimeConsumers } from "./hosts/edge_runtime.ts";
import { nodeConsumers } from "./hosts/node.ts";
import { rerankConsumers } from "./hosts/rerank.ts";
import { typescriptConsumers } from "./hosts/typescript.ts";
import { workerdConsumers } from "./hosts/workerd.ts";
import { install } from "./install.ts";

const count = { passed: 0, failed: 0 };

function say(result: "ok" | "FAILED" | "skipped", name: string, text: string): void {
  console.log(`${result.padEnd(8)}${name}: ${text.trim().replaceAll("\n", "\n          ")}`);
}

function fail(name: string, error: unknown): void {
  count.failed++;
  say("FAILED", name, error instanceof Error ? error.message : String(error));
}

async function runOne({ name, run, skip }: Consumer): Promise<void> {
  if (skip !== undefined) return say("skipped", name, skip);
  const begin = performance.now();
  try {
    const text = await run();
    count.passed++;
    say("ok", name, `${text} (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
  } catch (error) {
    fail(name, error);
  }
}

const all = Deno.args.includes("--all"), words = Deno.args.filter((word) => word !== "--all");

/** One after the other: these are checks of behaviour in time, and cores are few. */
async function runAll(folder: string): Promise<void> {
  const { packed, source, note } = await install(folder);
  // what is missing in CI fails, so that it cannot look like success
  const required = variable("FLASHTILE_GPU") === "required";
  const browsers = await Promise.all([
    browserConsumers(packed, "chromium", required),
    ...all ? [browserConsumers(packed, "firefox", false)] : [],
  ]);
  const consumers = [
    ...typescriptConsumers(packed),
    ...denoConsumers("source", source),
    strictConsumer(source),
    ...denoConsumers("packed", packed),
    sourcePhaseConsumer(packed),
    ...await nodeConsumers(packed, all),
    ...await bunConsumers(packed),
    ...edgeRuntimeConsumers(packed),
    ...await workerdConsumers(packed),
    ...await rerankConsumers(packed, all),
    ...browsers.flatMap(({ consumers }) => consumers),
  ];
  const wanted = consumers.filter(({ name }) =>
    words.length === 0 || words.some((word) => name.includes(word))
  );
  console.log(`${wanted.length} consumers of a ${note}`);
  // a misspelt word must not look like success
  if (wanted.length === 0) fail("consumers", new Error("no name holds the words given"));
  for (const consumer of wanted) await runOne(consumer);
  for (const { close } of browsers) await close();
}

const folder = await Deno.makeTempDir({ prefix: "flashtile-consumers-" });
try {
  await runAll(folder);
} catch (error) {
  fail("pack and install", error);
} finally {
  await Deno.remove(folder, { recursive: true });
}
console.log(`${count.passed} passed, ${count.failed} failed`);
// not only a code: nothing that a consumer left behind may keep the runner alive
Deno.exit(count.failed ? 1 : 0);
