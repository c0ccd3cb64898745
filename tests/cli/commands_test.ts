// Commands in this process: results, JSON, errors, help.
import assert from "node:assert/strict";
import { Engine, type HostTensor } from "../../mod.ts";
import { COMMANDS, GROUPS } from "../../src/cli/commands.ts";
import { EXIT } from "../../src/cli/exit.ts";
import { VERSION } from "../../src/cli/version.ts";
import denoJson from "../../deno.json" with { type: "json" };
import { openGpu } from "../backends.ts";
import { partTest } from "../selection.ts";
import { cli } from "./session.ts";

Deno.test("the version is that of the package", async () => {
  assert.equal(VERSION, denoJson.version);
  assert.equal((await cli(["--version"])).stdout.trim(), VERSION);
});

Deno.test("info says what was chosen, as text and as data", async () => {
  const { code, stdout } = await cli(["info", "--threads", "1", "--backend", "wasm"]);
  assert.equal(code, EXIT.done);
  assert.match(stdout, /^chosen +WASM with .* SIMD.*, 1 thread \(asked for\)$/m);
  const data = JSON.parse((await cli(["info", "--json"])).stdout);
  assert.equal(data.runtime.name, "deno");
  assert.equal(data.wasm.target.backend, "wasm");
  assert.ok(Array.isArray(data.adapters));
});

Deno.test("explain is what engine.explain says", async () => {
  const args = ["explain", "--length=1", "--keys=4096", "--heads=32", "--kv-heads=8", "--json"];
  const plan = JSON.parse((await cli(args)).stdout);
  assert.equal(plan.kernel, "decode");
  assert.equal(plan.cost.pairs, 32 * 4096);
  const { stdout } = await cli(["explain", "--length=4096", "--causal=bottom-right"]);
  assert.match(stdout, /^kernel +forward, tiles of \d+ queries x \d+ keys$/m);
  assert.match(stdout, /^pairs +67125248 of 134217728 visible \(50 %\)$/m);
});

Deno.test("workers and shared calls are flags, and are told of", async () => {
  const engine = ["--backend=wasm", "--threads=1", "--workers=2"];
  assert.match((await cli(["info", ...engine])).stdout, /^cpu .*, 1 thread.*, 2 workers; builds/m);
  const { stdout } = await cli(["explain", "--length=4096", ...engine]);
  assert.match(stdout, /^work .*, 1 thread, 2 workers, /m);
  assert.match(stdout, /^backend .*; 2 workers share it/m);
  const small = await cli(["explain", "--length=16", ...engine]);
  assert.match(small.stdout, /^work .*, 1 thread, /m);
  const bench = ["bench", "--lengths=64", "--heads=2", "--seconds=0.001", ...engine, "--json"];
  const { shape, lines } = JSON.parse((await cli(bench)).stdout);
  assert.equal(shape.resident, false);
  assert.equal(lines.length, 3);
  const refused = await cli(["explain", "--backend=wasm", "--coexecute"]);
  assert.deepEqual([refused.code, refused.stdout], [EXIT.usage, ""]);
  assert.match(refused.stderr, /coexecute is true but backend is "wasm"/);
  assert.equal((await cli(["info", "--coexecute"])).code, EXIT.done);
});

Deno.test({
  name: "explain says what a GPU and the CPU share",
  sanitizeOps: false, // of devices
  sanitizeResources: false,
  async fn() {
    const gpu = await openGpu();
    if ("absent" in gpu) return console.log(`not run on webgpu: ${gpu.absent}`);
    gpu.dispose();
    const args = ["explain", "--backend=webgpu", "--software", "--coexecute", "--length=2048"];
    const { code, stdout } = await cli(args);
    assert.equal(code, EXIT.done);
    assert.match(stdout, /^backend .*; shared: webgpu has kv heads 0 to \d+, wasm has/m);
  },
});

Deno.test("explain takes every size that a call takes", async () => {
  const sizes = ["--batch=2", "--length=0", "--keys=3", "--head-dim=5", "--value-dim=7"];
  for (
    const more of [["--dtype=bf16"], ["--layout=bhsd"], ["--window=2,"], ["--key-lengths=1,0"]]
  ) {
    const { code, stderr } = await cli(["explain", ...sizes, ...more]);
    assert.deepEqual([code, stderr], [EXIT.done, ""]);
  }
});

Deno.test("check passes on a part, with errors beside the bounds", async () => {
  const { code, stdout } = await cli(["check", "--backend=wasm", "--part=f16", "--json"]);
  assert.equal(code, EXIT.done);
  const { passed, outcomes } = JSON.parse(stdout);
  assert.ok(passed && outcomes.length > 0);
  for (const { results } of outcomes) {
    assert.deepEqual(results.map(({ result }: { result: string }) => result).sort(), [
      ...["dk", "dq", "dv", "lse", "out"],
    ]);
    for (const { error, allowed } of results) assert.ok(error >= 0 && error <= allowed);
  }
});

partTest("rest", "check asks a GPU too, in software where it may", async () => {
  const gpu = await openGpu();
  if ("absent" in gpu) return console.log(`not run on webgpu: ${gpu.absent}`);
  gpu.dispose();
  const args = ["check", "--backend=webgpu", "--software", "--part=decode"];
  const { code, stdout } = await cli(args);
  assert.equal(code, EXIT.done, stdout);
  // fewer problems than elsewhere, whose kernels are few
  assert.match(stdout, /^webgpu .* decode +6 .* ok$/m);
});

Deno.test("check fails, with exit code 1, where an engine computes something else", async () => {
  const { attention } = Engine.prototype;
  Engine.prototype.attention = async function (
    this: Engine,
    ...args: Parameters<typeof attention>
  ) {
    const results = await attention.apply(this, args);
    // a result that is 1 % too large on one build
    const plain = this.target.backend === "wasm" && !this.target.relaxedSimd;
    const { data } = results.out as HostTensor<Float32Array>;
    if (plain) data.forEach((x, n) => data[n] = 1.01 * x);
    return results;
  } as typeof attention;
  try {
    const args = ["check", "--backend=wasm", "--threads=1", "--part=passes"];
    const { code, stdout } = await cli(args);
    assert.equal(code, EXIT.failed);
    assert.match(stdout, /^wasm relaxed, 1 thread .* ok$/m);
    assert.match(stdout, /^wasm plain, 1 thread .* WRONG$/m);
    assert.match(stdout, /^wasm plain, 1 thread, passes: 8 of 8 problems are wrong$/m);
    assert.match(stdout, /^1 of 3 parts are wrong$/m);
  } finally {
    Engine.prototype.attention = attention;
  }
});

Deno.test("bench has a figure for each pass, beside a peak", async () => {
  const args = ["bench", "--lengths=64", "--heads=2", "--seconds=0.01", "--backend=wasm", "--json"];
  const { lines, peak, reason } = JSON.parse((await cli(args)).stdout);
  assert.match(reason, /^WASM/);
  assert.ok(peak.oneThread > 0.1 && peak.all >= peak.oneThread);
  const passes = lines.map(({ pass }: { pass: string }) => pass);
  assert.deepEqual(passes, ["forward", "backward", "decode"]);
  for (const { gflops, milliseconds } of lines) assert.ok(gflops > 0 && milliseconds > 0);
});

/** Arguments, and what is said of them. */
const USAGE: readonly (readonly [args: string, message: string])[] = [
  ["rnu", "Cannot use rnu: did you mean run?"],
  ["zzzzz", "Cannot use zzzzz: wanted one of info, check, bench, explain, run, map, cluster"],
  ["clustr status", "Cannot use clustr: did you mean cluster?"],
  ["cluster", "Cannot use cluster alone: wanted one of node, status"],
  ["cluster stauts", "Cannot use stauts with cluster: did you mean status?"],
  ["cluster zzzzz", "Cannot use zzzzz with cluster: wanted one of node, status"],
  ["cluster --name x", "Cannot use --name with cluster: wanted one of node, status"],
  [
    "cluster status --sevrers x",
    "Cannot use --sevrers with cluster status: did you mean --servers?",
  ],
  ["cluster status --servers http://x", "Cannot use --servers http://x: expected addresses like"],
  ["cluster node --threads 0", "Cannot use --threads 0: expected a whole number, at least 1"],
  ["cluster node --software", "Cannot use --software: it needs --backend webgpu"],
  // the cluster's own, before anything is sent
  ["cluster node --name a.b", 'Cannot run startNode: name is "a.b" but must be'],
  ["cluster status --cluster a.b", 'Cannot run connectCluster: cluster is "a.b" but must be'],
  ["run --sofcap 3", "Cannot use --sofcap with run: did you mean --softcap?"],
  ["run --sofcap=3", "Cannot use --sofcap=3 with run: did you mean --softcap?"],
  ["info file.npy", "Cannot use file.npy with info: see flashtile info --help"],
  ["explain --softcap x", "Cannot use --softcap x: expected a number"],
  ["explain --heads 0", "Cannot use --heads 0: expected a whole number, at least 1"],
  ["explain --heads 2 --heads 3", "Cannot use --heads twice"],
  ["explain --layout sbhd", "Cannot use --layout sbhd: expected bshd or bhsd"],
  ["explain --window 3", "Cannot use --window 3: expected two whole numbers like 128,0"],
  ["explain --window ,", "Cannot use --window ,: expected two whole numbers like 128,0"],
  ["explain --dropout 0.1", "Cannot use --dropout without --dropout-seed"],
  ["explain --dropout-seed 1", "Cannot use --dropout-seed without --dropout"],
  ["explain --software", "Cannot use --software: it needs --backend webgpu"],
  ["run", "Cannot use run without --output FILE"],
  ["run --output x.txt", "Cannot use --output x.txt: its name must end in .npy or .safetensors"],
  ["run --output x.npy --d-out y.npy", "Cannot use --d-out without --backward"],
  ["map --input x.safetensors --output x.gif", "Cannot use --output x.gif: its name must end in"],
  // the library's own, with the flag
  ["explain --softcap=-3", "Cannot run attention: softcap is -3 but must be"],
  ["explain --heads 3 --kv-heads 2", "Cannot run attention: q has 3 queryHeads but"],
  ["explain --key-lengths 1,2,3", "Cannot run attention: keyLengths"],
  ["explain --threads 1000", "Cannot run createEngine: threads is 1000 but must be"],
];

Deno.test("what is wrong with flags is said in a sentence, with exit code 2", async () => {
  for (const [args, message] of USAGE) {
    const { code, stdout, stderr } = await cli(args.split(" "));
    assert.deepEqual([code, stdout], [EXIT.usage, ""], args);
    assert.ok(stderr.startsWith(message), `${args}: ${stderr}`);
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
  }
  assert.match((await cli(["explain", "--softcap=-3"])).stderr, /\(flag --softcap\)$/m);
  assert.match((await cli(["explain", "--key-lengths=1,2"])).stderr, /\(flag --key-lengths\)$/m);
});

Deno.test("with --json errors are JSON too", async () => {
  for (const args of [["run", "--json"], ["explain", "--haeds=3", "--json"]]) {
    const { code, stderr } = await cli(args);
    const { error, exitCode } = JSON.parse(stderr);
    assert.match(error, /^Cannot /);
    assert.deepEqual([code, exitCode], [EXIT.usage, EXIT.usage]);
  }
});

Deno.test("a backend that is not there is exit code 4", async () => {
  const { code, stderr } = await cli(["info", "--backend=webgpu"]);
  // a card passes; a GPU in software, or none, is refused
  assert.equal(code, stderr === "" ? EXIT.done : EXIT.unsupported);
  assert.ok(stderr === "" || /^computing is not supported by the webgpu backend: /.test(stderr));
});

Deno.test("help lists the commands, and each has its flags and examples", async () => {
  const all = (await cli([])).stdout;
  assert.equal((await cli(["--help"])).stdout, all);
  for (const { name, summary, examples, flags } of COMMANDS) {
    const words = name.split(" "), last = words.pop()!;
    // a group is a line of its own, and lists its commands
    const listed = words.length === 0 ? all : (await cli([...words, "--help"])).stdout;
    assert.match(listed, new RegExp(`^  ${last} +${summary.replaceAll(/[.(]/g, "\\$&")}$`, "m"));
    for (const group of words) assert.ok(all.includes(`  ${group} `) && GROUPS[group], group);
    const { code, stdout } = await cli([...words, last, "--help"]);
    assert.equal(code, EXIT.done);
    for (const flag of flags) assert.ok(stdout.includes(`  ${flag}`), `${name} ${flag}`);
    for (const { args } of examples) assert.ok(stdout.includes(`  flashtile ${args}\n`), args);
    assert.ok(examples.length >= 2 && examples.every(({ args }) => args.startsWith(name)), name);
  }
});

Deno.test("an interrupted command ends with 130", async () => {
  const { Interruption } = await import("../../src/cli/exit.ts");
  const signal = AbortSignal.abort(new Interruption("SIGINT"));
  const { code, stderr } = await cli(["check", "--backend=wasm", "--part=f16"], { signal });
  assert.deepEqual([code, stderr], [EXIT.interrupted, "stopped by SIGINT\n"]);
});
