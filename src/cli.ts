/**
 * The command line: what this machine computes attention with, whether it computes right and how fast, and attention on
 * NumPy and safetensors files. `deno run jsr:@flashtile/attention/cli --help`, or `flashtile --help` from the npm package.
 *
 * @example
 * ```ts
 * import { main } from "@flashtile/attention/cli";
 *
 * // the same in a program of your own: lines come to you, the exit code is returned
 * const lines: string[] = [];
 * const host = { stdout: (text: string) => lines.push(text), stderr: () => {} };
 * const code = await main(["explain", "--length=4096", "--heads=8", "--head-dim=64", "--json"], host);
 * console.log(code, JSON.parse(lines.join("")).kernel); // 0 forward
 * ```
 *
 * @module
 */
import { realpathSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { main } from "./cli/main.ts";

export { main } from "./cli/main.ts";
export type { AbortSignalLike } from "./backend/backend.ts";
export type { CliHost, StopSignal } from "./cli/session.ts";

/** Whether this is the program: Node says so itself from 24.2 on; npm puts a link to this file on the path. */
function isProgram(): boolean {
  const known = import.meta.main as boolean | undefined, [, script] = process.argv;
  if (known !== undefined) return known;
  return script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url);
}

if (isProgram()) process.exitCode = await main(process.argv.slice(2));
