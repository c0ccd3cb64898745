// What the command line does where nobody reads, where nothing can be written, and with files that make it wait.
import assert from "node:assert/strict";
import process from "node:process";
import { main } from "../../src/cli.ts";
import { codeOf, EXIT } from "../../src/cli/exit.ts";
import { npyParts } from "../../src/cli/files/npy.ts";
import { cli, ended, inFolder, joined, spawn, tensor } from "./session.ts";

type Write = typeof process.stdout.write;

/** What tells of errors. */
interface Teller {
  emit(event: "error", error: Error): boolean;
}

/** Runs the command line on this process, whose streams are `stdout` and `stderr` meanwhile. */
async function onProcess(args: readonly string[], stdout: Write, stderr: Write): Promise<number> {
  const own = [process.stdout.write, process.stderr.write] as const;
  Object.assign(process.stdout, { write: stdout });
  Object.assign(process.stderr, { write: stderr });
  try {
    return await main(args);
  } finally {
    Object.assign(process.stdout, { write: own[0] });
    Object.assign(process.stderr, { write: own[1] });
  }
}

for (const runtime of ["Deno", "Node"] as const) {
  Deno.test(`a full disk and a reader that left, as ${runtime} tells of them`, async () => {
    const failing =
      (code: string, stream: Teller = process.stdout): Write => (_text, told?: unknown) => {
        const error = Object.assign(new Error(`${code}: write`), { code });
        if (runtime === "Deno") throw error; // and calls nobody back
        process.nextTick(() => {
          if (typeof told === "function") told(error);
          stream.emit("error", error);
        });
        return false;
      };
    let said = "";
    const hear: Write = (text) => {
      said += text;
      return true;
    };
    assert.equal(await onProcess(["--version"], failing("ENOSPC"), hear), EXIT.file);
    assert.equal(said, "Cannot write to stdout: the disk is full\n");
    assert.equal(await onProcess(["--version"], failing("EPIPE"), hear), EXIT.done);
    const deaf = failing("ENOSPC", process.stderr);
    const ignore: Write = (_text, told?: unknown) => {
      if (typeof told === "function") told();
      return true;
    };
    assert.equal(await onProcess(["run"], ignore, deaf), EXIT.usage);
    assert.equal(await onProcess(["--version"], failing("ENOSPC"), deaf), EXIT.file);
  });
}

Deno.test("a process whose reader leaves ends with its own code", async () => {
  const child = spawn(["explain", "--length=64", "--json"]);
  const [, said, { code }] = await Promise.all([
    child.stdout.cancel(),
    new Response(child.stderr).text(),
    child.status,
  ]);
  assert.deepEqual([code, said], [EXIT.done, ""]);
});

const pipes = Deno.permissions.querySync({ name: "run", command: "mkfifo" }).state === "granted";
Deno.test({
  name: `a named pipe is no file${pipes ? "" : " (left out: needs --allow-run=mkfifo)"}`,
  ignore: !pipes,
  fn: () =>
    inFolder(async (folder) => {
      const path = `${folder}/pipe.npy`;
      assert.ok((await new Deno.Command("mkfifo", { args: [path] }).output()).success);
      const args = [
        "run",
        `--output=${folder}/r.npy`,
        ...["q", "k", "v"].map((x) => `--${x}=${path}`),
      ];
      const { code, stderr } = await ended(spawn(args));
      assert.deepEqual([code, stderr], [EXIT.file, `Cannot read ${path}: it is not a file\n`]);
    }),
});

Deno.test("what a user's module throws is the module's, not a fault of the program", () =>
  inFolder(async (folder) => {
    for (const name of ["q", "k", "v"]) {
      await Deno.writeFile(`${folder}/${name}.npy`, joined(npyParts(tensor([1, 4, 1, 4], 1))));
    }
    const tensors = ["q", "k", "v"].map((name) => `--${name}=${folder}/${name}.npy`);
    const modules: [string, RegExp][] = [
      ["throw null;", /^Cannot read .*m0\.mjs: it threw null\n$/],
      [
        `export const scoreMod = () => { throw new Error("mine"); };`,
        /^Cannot use .*m1\.mjs: its scoreMod: mine\n$/,
      ],
    ];
    for (const [n, [source, message]] of modules.entries()) {
      await Deno.writeTextFile(`${folder}/m${n}.mjs`, source);
      const args = ["run", ...tensors, `--output=${folder}/r.npy`];
      const { code, stderr } = await cli([...args, `--functions=${folder}/m${n}.mjs`]);
      assert.equal(code, EXIT.file, stderr);
      assert.match(stderr, message);
    }
    const map = ["map", ...tensors.slice(0, 2), `--output=${folder}/m.png`, "--cell=100000"];
    const { code, stderr } = await cli(map);
    assert.equal(code, EXIT.usage);
    assert.match(stderr, /^Cannot use --cell 100000: 400000 x 400000 pixels, of which \d+ are/);
  }));

Deno.test("mistakes of a program are faults, whatever engines of JavaScript say first", () => {
  const slip = (act: () => unknown) => {
    try {
      return act();
    } catch (error) {
      return error;
    }
  };
  const nothing = undefined as unknown as { a: number };
  assert.equal(codeOf(slip(() => nothing.a)), EXIT.fault);
  assert.equal(codeOf(slip(() => (({ a }) => a)(nothing))), EXIT.fault);
  assert.equal(codeOf(slip(() => "a" in ("" as unknown as object))), EXIT.fault);
  assert.equal(codeOf(new TypeError("Cannot run attention: q is 5")), EXIT.usage);
});
