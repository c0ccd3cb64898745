/**
 * `deno bench bench/attention_bench.ts`: a quick look during work, in the tool's own format. Groups
 * hold what is worth comparing; figures for keeping come from `deno task bench`.
 * @module
 */

import { caseNamed, square } from "./cases.ts";
import { HostSubject, ResidentSubject, wasmEngine } from "./subjects/flashtile.ts";
import { Unfused } from "./subjects/unfused_wasm.ts";

const engine = await wasmEngine(1);
// Every `fn` is an async function in so many words: Deno.bench waits for no other promise.

for (const name of ["s128", "s512"]) {
  const group = `forward ${name}`;
  const resident = new ResidentSubject(engine, caseNamed(name));
  const causal = new ResidentSubject(engine, caseNamed(name), { causal: true });
  const host = new HostSubject(engine, caseNamed(name));
  const unfused = await Unfused.create(caseNamed(name));
  Deno.bench({
    name: `${name} resident`,
    group,
    baseline: true,
    fn: async () => await resident.forward(),
  });
  Deno.bench({ name: `${name} resident, causal`, group, fn: async () => await causal.forward() });
  Deno.bench({ name: `${name} host tensors`, group, fn: async () => await host.forward() });
  Deno.bench({ name: `${name} unfused`, group, fn: () => unfused.run() });
}

{
  const group = "backward";
  const training = new ResidentSubject(engine, caseNamed("s512"));
  await training.forward();
  Deno.bench({
    name: "s512 forward",
    group,
    baseline: true,
    fn: async () => await training.forward(),
  });
  Deno.bench({
    name: "s512 backward",
    group,
    fn: async (b) => {
      await training.forward();
      b.start();
      await training.backward();
      b.end();
    },
  });
}

{
  const group = "decode";
  const cached = new ResidentSubject(engine, caseNamed("dec4k"));
  const copied = new HostSubject(engine, caseNamed("dec4k"));
  const tiny = new HostSubject(engine, square("tiny", 1, 16, 64));
  Deno.bench({
    name: "4096 keys, resident",
    group,
    baseline: true,
    fn: async () => await cached.forward(),
  });
  Deno.bench({ name: "4096 keys, host tensors", group, fn: async () => await copied.forward() });
  Deno.bench({
    name: "16 tokens, 1 head: the cost of a call",
    group,
    fn: async () => await tiny.forward(),
  });
}
