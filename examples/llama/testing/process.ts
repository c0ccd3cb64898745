/** Examples as whole processes, with a model that another process writes. */
import assert from "node:assert/strict";
import { elsewhere, type Part, testUnless } from "../../../tests/selection.ts";

/** Deno itself, by the name under which it may be run. */
const deno = [Deno.execPath(), "deno"]
  .find((command) => Deno.permissions.querySync({ name: "run", command }).state === "granted");
const root = new URL("../../../", import.meta.url);

export interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

/** Starts Deno in the root of the repository; the caller ends it. */
export function start(args: string[]): Deno.ChildProcess {
  return new Deno.Command(deno!, {
    args,
    cwd: root.pathname,
    ...{ stdin: "null", stdout: "piped", stderr: "piped" },
  }).spawn();
}

/** Runs Deno to its end; a process that does not end within a minute is killed. */
export async function run(args: string[]): Promise<Output> {
  const child = start(args), timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
  const { code, signal, stdout, stderr } = await child.output();
  clearTimeout(timer);
  assert.equal(signal, null, "it did not end by itself");
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** A test with a folder that holds tiny.bin; visibly left out where Deno may not be run. */
export function testProcess(
  name: string,
  may: Deno.PermissionDescriptor[],
  fn: (folder: string) => Promise<void>,
  part: Part = "core",
): void {
  const denied = may.filter((asked) => Deno.permissions.querySync(asked).state !== "granted");
  const lacks = [...deno ? [] : ["run"], ...denied.map((asked) => asked.name)];
  const why = lacks.length > 0 ? ` (left out: needs --allow-${lacks.join(", --allow-")})` : "";
  Deno.test({
    ...testUnless(elsewhere(part), `${name}${why}`),
    ...(lacks.length > 0 && { ignore: true }),
    async fn() {
      if (fn.length === 0) return await fn(""); // it asks for no folder
      const write = ["run", "--no-check", "--allow-write", "examples/llama/testing/write_tiny.ts"];
      const { code, stdout, stderr } = await run(write);
      assert.equal(code, 0, stderr);
      const folder = stdout.trim();
      try {
        await fn(folder);
      } finally {
        const remove = `Deno.removeSync(${JSON.stringify(folder)}, { recursive: true })`;
        await run(["eval", remove]);
      }
    },
  });
}
