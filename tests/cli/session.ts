// The command line as tests use it: in this process, or as one of its own.
import { main } from "../../src/cli.ts";
import type { HostTensor } from "../../mod.ts";
import { uniforms } from "../../src/tensor/random.ts";
import { narrowed } from "../../src/tensor/convert.ts";

/** What a run of the command line left. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs it in this process. */
export async function cli(
  args: readonly string[],
  more: { columns?: number; signal?: AbortSignal } = {},
): Promise<Ran> {
  let stdout = "", stderr = "";
  const code = await main(args, {
    stdout: (text) => stdout += text,
    stderr: (text) => stderr += text,
    ...more,
  });
  return { code, stdout, stderr };
}

const SOURCE = "src/cli.ts", SCRATCH = "tests/cli/scratch";
/** Permissions that the page names. */
const PERMISSIONS = ["--allow-read", `--allow-write=${SCRATCH}`];

/** A process of its own. */
export function spawn(
  args: readonly string[],
  permissions: readonly string[] = PERMISSIONS,
): Deno.ChildProcess {
  return new Deno.Command("deno", {
    args: ["run", "--no-check", "--no-prompt", ...permissions, SOURCE, ...args],
    ...{ stdin: "null", stdout: "piped", stderr: "piped" },
  }).spawn();
}

/** Waits for a process. */
export async function ended(child: Deno.ChildProcess): Promise<Ran> {
  const { code, stdout, stderr } = await child.output(), decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** A folder for files, which goes after use. */
export async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = `${SCRATCH}/${crypto.randomUUID()}`;
  await Deno.mkdir(folder, { recursive: true });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

export { joined } from "../../examples/llama/testing/bytes.ts";

/** Numbers in a storage type. */
export function tensor(
  shape: readonly number[],
  seed: number,
  dtype: "f32" | "f16" | "bf16" = "f32",
): HostTensor {
  const data = uniforms(seed, shape.reduce((a, b) => a * b, 1)).map((x) => 3 * x);
  return dtype === "f32" ? { data, shape } : { data: narrowed(data, dtype), shape, dtype };
}
