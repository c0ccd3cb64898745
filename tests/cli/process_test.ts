// The command line as processes: every command, its examples, shells.
import assert from "node:assert/strict";
import { COMMANDS } from "../../src/cli/commands.ts";
import { codeOf, EXIT } from "../../src/cli/exit.ts";
import { npyParts } from "../../src/cli/files/npy.ts";
import { safetensorsParts } from "../../src/cli/files/safetensors.ts";
import { partTest } from "../selection.ts";
import { cli, ended, inFolder, joined, spawn, tensor } from "./session.ts";

/** What examples read, smaller than its readers would have it. */
async function writeInputs(folder: string): Promise<void> {
  const [q, k, v, dOut] = [1, 2, 3, 4].map((seed) => tensor([1, 70, 4, 8], seed));
  const files = { "q.npy": q!, "k.npy": k!, "v.npy": v! };
  for (const [name, one] of Object.entries(files)) {
    await Deno.writeFile(`${folder}/${name}`, joined(npyParts(one)));
  }
  const whole = { q: q!, k: k!, v: v!, dOut: dOut! }, bias = { "t5.bias": tensor([4, 70, 70], 5) };
  await Deno.writeFile(`${folder}/x.safetensors`, joined(safetensorsParts(whole)));
  await Deno.writeFile(`${folder}/b.safetensors`, joined(safetensorsParts(bias)));
}

/** Examples that compute for seconds, and what makes them shorter. */
const SHORTER: Readonly<Record<string, readonly string[]>> = {
  bench: ["--seconds=0.01", "--lengths=64"],
  check: ["--part=f16", "--backend=wasm"],
};

/** Commands of a cluster need a server: tests/cluster/commands.ts runs them, and what they do without one is below. */
const HERE = COMMANDS.filter(({ name }) => !name.startsWith("cluster "));

partTest("rest", "the examples of help run", () =>
  inFolder(async (folder) => {
    await writeInputs(folder);
    for (const { name, examples } of HERE) {
      for (const { args } of examples) {
        const words = args.split(" ").map((word) =>
          /\.(npy|safetensors(:.*)?|svg|png)$/.test(word) ? `${folder}/${word}` : word
        );
        const has = (flag: string) => words.includes(flag.split("=")[0]!);
        const more = (SHORTER[name] ?? []).filter((flag) => !has(flag));
        const { code, stderr } = await cli([...words, ...more]);
        // a GPU may be missing where an example asks for one
        const missing = args.includes("webgpu") && code === EXIT.unsupported;
        assert.ok(code === EXIT.done || missing, `${args}: ${code} ${stderr}`);
      }
    }
  }));

Deno.test("each command is a process that prints JSON and ends with its code", () =>
  inFolder(async (folder) => {
    await writeInputs(folder);
    const input = ["--input", `${folder}/x.safetensors`, "--json"];
    const runs: Readonly<Record<string, readonly string[]>> = {
      info: ["--json"],
      check: ["--backend=wasm", "--part=f16", "--threads=2", "--json"],
      bench: ["--lengths=64", "--seconds=0.01", "--json"],
      explain: ["--length=64", "--json"],
      run: [...input, "--output", `${folder}/r.npy`],
      map: [...input, "--output", `${folder}/m.svg`],
    };
    assert.deepEqual(Object.keys(runs), HERE.map(({ name }) => name));
    const left = await Promise.all(
      Object.entries(runs).map(([name, args]) => ended(spawn([name, ...args]))),
    );
    for (const { code, stdout, stderr } of left) {
      assert.deepEqual([code, stderr], [EXIT.done, ""]);
      assert.equal(typeof JSON.parse(stdout), "object");
    }
    const wrong = await ended(spawn(["run", "--sofcap=3"]));
    assert.deepEqual([wrong.code, wrong.stdout], [EXIT.usage, ""]);
    // what may not be read is said, not asked for
    const denied = await ended(spawn(["run", ...input, "--output", `${folder}/s.npy`], []));
    assert.notEqual(denied.code, EXIT.done);
  }));

/** A port of this machine that nothing listens on: it was free a moment ago. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("without a server commands of a cluster say so and end with exit code 4", async () => {
  const servers = `nats://127.0.0.1:${freePort()}`, net = ["--allow-net=127.0.0.1"];
  for (const [name, does] of [["node", "startNode"], ["status", "connectCluster"]]) {
    const args = ["cluster", name!, "--servers", servers];
    const { code, stdout, stderr } = await ended(spawn(args, net));
    assert.deepEqual([code, stdout], [EXIT.unsupported, ""], stderr);
    assert.match(stderr, new RegExp(`^Cannot run ${does}: NATS at ${servers}: .+\n$`));
    const data = JSON.parse((await ended(spawn([...args, "--json"], net))).stderr);
    assert.deepEqual([data.error, data.exitCode], [stderr.trimEnd(), EXIT.unsupported]);
    // what may not be connected to is said, not asked for
    const denied = await ended(spawn(args, []));
    assert.equal(denied.code, EXIT.unsupported);
    assert.match(denied.stderr, /--allow-net/);
  }
});

Deno.test("a package that is missing is named, and how to install it", async () => {
  const { withPackages } = await import("../../src/cli/flags/cluster.ts");
  const use = () => Promise.resolve();
  const missing = Object.assign(
    new Error("Cannot find package '@nats-io/services' imported from x.js"),
    { code: "ERR_MODULE_NOT_FOUND" },
  );
  await assert.rejects(withPackages(() => Promise.reject(missing), use), (error) => {
    assert.equal(codeOf(error), EXIT.unsupported);
    assert.match((error as Error).message, /^Cannot use a cluster: @nats-io\/services is not inst/);
    return true;
  });
  const other = Object.assign(new Error("Cannot find module 'x'"), { code: missing.code });
  await assert.rejects(withPackages(() => Promise.reject(other), use), (error) => error === other);
});

for (const [shell, mark] of [["bash", "complete "], ["zsh", "compdef"], ["fish", "complete -c"]]) {
  Deno.test(`there is a script for ${shell}`, async () => {
    const { code, stdout } = await cli(["completion", shell!]);
    assert.equal(code, EXIT.done);
    assert.ok(stdout.includes(mark!) && stdout.includes("flashtile"), stdout.slice(0, 200));
  });
}

Deno.test("what shells are offered: commands, flags, words, files", async () => {
  const offers = async (...words: string[]) => {
    const { stdout } = await cli(["completion", "bash", ...words]);
    return stdout.split("\n").filter((line) => line !== ""); // as the scripts do
  };
  const commands = await offers("");
  for (const { name } of COMMANDS) {
    const [first, second] = name.split(" ");
    assert.ok(commands.includes(first!), `${first} of ${commands}`);
    if (second) assert.ok((await offers(first!, "")).includes(second), name);
  }
  assert.deepEqual(await offers("cluster", "st"), ["status"]);
  assert.deepEqual(await offers("cluster", "status", "--se"), ["--servers"]);
  assert.deepEqual(await offers("ex"), ["explain"]);
  assert.deepEqual((await offers("run", "--soft")).sort(), [
    ...["--softcap", "--softmax-scale", "--software"],
  ]);
  assert.deepEqual((await offers("run", "--backend", "w")).sort(), ["wasm", "webgpu"]);
  const [file] = await offers("run", "--q", "");
  assert.match(file!, /^__FILE__:.*npy,safetensors/);
});
