// The command line as processes: every command, its examples, shells.
import assert from "node:assert/strict";
import { COMMANDS } from "../../src/cli/commands.ts";
import { EXIT } from "../../src/cli/exit.ts";
import { npyParts } from "../../src/cli/files/npy.ts";
import { safetensorsParts } from "../../src/cli/files/safetensors.ts";
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

Deno.test("the examples of help run", () =>
  inFolder(async (folder) => {
    await writeInputs(folder);
    for (const { name, examples } of COMMANDS) {
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
    assert.deepEqual(Object.keys(runs), COMMANDS.map(({ name }) => name));
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
  for (const { name } of COMMANDS) assert.ok(commands.includes(name), `${name} of ${commands}`);
  assert.deepEqual(await offers("ex"), ["explain"]);
  assert.deepEqual((await offers("run", "--soft")).sort(), [
    ...["--softcap", "--softmax-scale", "--software"],
  ]);
  assert.deepEqual((await offers("run", "--backend", "w")).sort(), ["wasm", "webgpu"]);
  const [file] = await offers("run", "--q", "");
  assert.match(file!, /^__FILE__:.*npy,safetensors/);
});
