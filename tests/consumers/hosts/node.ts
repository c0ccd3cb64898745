// Node from version 20: the tarball as an ES module, compiled by tsc; threads where a tool keeps the names of
// functions, and where Node forbids workers.
import { checkInfo, checkOnce, checkScript, checkTfjs, checkThreads } from "../check.ts";
import { here, tsc } from "../install.ts";
import { run, versionOf } from "../process.ts";
import type { Consumer } from "./consumer.ts";

/** The oldest Node that the library supports. */
const OLDEST = 20;

async function skipReason(): Promise<string | undefined> {
  const version = await versionOf("node");
  if (version === undefined) return "there is no node on the PATH";
  const major = Number(/^v(\d+)\./.exec(version)?.[1]);
  return major >= OLDEST ? undefined : `node is ${version}, wanted ${OLDEST} or later`;
}

const ESBUILD = "node_modules/esbuild/bin/esbuild", TSX = "node_modules/tsx/dist/cli.mjs";

/** Whether Node loads ES modules by `require`: from 20.19 and 22.12 on. */
async function requiresModules(): Promise<boolean> {
  const script = "process.exit(process.features.require_module ? 0 : 1)";
  return await run("node", ["-e", script], { cwd: "." }).then(() => true, () => false);
}

/** A CommonJS project beside the ES modules, run by tsx, which keeps the names of functions. */
async function commonJs(cwd: string): Promise<string> {
  const folder = `${cwd}/commonjs`;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/package.json`, `{ "type": "commonjs" }`);
  for (const name of ["threads.ts", "job.ts", "inputs.ts", "messages.ts"]) {
    await Deno.copyFile(`${cwd}/${name}`, `${folder}/${name}`);
  }
  const { stdout } = await run("node", [here(TSX), "threads.ts"], { cwd: folder });
  return checkThreads(stdout, 2);
}

async function keepNames(cwd: string): Promise<string> {
  const flags = ["--bundle", "--minify", "--keep-names", "--platform=node", "--format=esm"];
  await run("node", [here(ESBUILD), "threads.ts", ...flags, "--outfile=names.mjs"], { cwd });
  const { stdout } = await run("node", ["names.mjs"], { cwd });
  return checkThreads(stdout, 2);
}

/** Workers are forbidden: the flag is called so from Node 23.5 on. */
async function noWorkers(cwd: string, version: string): Promise<string> {
  const [major = 0, minor = 0] = version.slice(1).split(".").map(Number);
  const known = major > 23 || (major === 23 && minor >= 5) || (major === 22 && minor >= 13);
  const flags = [known ? "--permission" : "--experimental-permission", "--allow-fs-read=*"];
  const { stdout } = await run("node", [...flags, "dist/threads.js"], { cwd });
  return checkThreads(stdout, 1, "--allow-worker");
}

/** The command line: a link on the path that Node follows, without packages beside the tarball; and bash completes it. */
async function commandLine(cwd: string): Promise<string> {
  const { stdout } = await run(`${cwd}/node_modules/.bin/flashtile`, ["info", "--json"], { cwd });
  const info = checkInfo(stdout);
  const script = `PATH="$PWD/node_modules/.bin:$PATH"; source <(flashtile completion bash)
COMP_WORDS=(flashtile run --softc); COMP_CWORD=2; _flashtile; echo "\${COMPREPLY[@]}"`;
  if (await versionOf("bash") === undefined) return `${info}; there is no bash`;
  const { stdout: completed } = await run("bash", ["-c", script], { cwd });
  if (completed.trim() !== "--softcap") throw new Error(`bash was offered ${completed.trim()}`);
  return `${info}; bash completes --softc`;
}

/** TensorFlow.js beside the tarball: its own types are those that the adapter takes. */
async function tfjs(cwd: string): Promise<string> {
  await Deno.symlink(here("node_modules/@tensorflow"), `${cwd}/node_modules/@tensorflow`);
  await tsc(cwd, ["--project", "tsconfig.tfjs.json"]);
  const { stdout } = await run("node", ["dist/tfjs.js"], { cwd });
  return checkTfjs(stdout);
}

/** The consumers that Node runs. */
export async function nodeConsumers(cwd: string): Promise<Consumer[]> {
  const skip = await skipReason();
  const label = `node ${skip ? "" : (await versionOf("node"))}`.trim();
  return [
    {
      name: `${label}, threads 1 and 2, packed`,
      skip,
      run: async () => {
        const { stdout, end } = await run("node", ["dist/script.js"], { cwd });
        return checkScript(stdout, end);
      },
    },
    {
      name: `${label}, one call and no dispose, packed`,
      skip,
      run: async () => {
        const { stdout, end } = await run("node", ["dist/once.js"], { cwd });
        return checkOnce(stdout, end);
      },
    },
    {
      name: `${label}, tsx in a CommonJS project, packed`,
      skip: skip ?? (await requiresModules() ? undefined : "this Node cannot require an ES module"),
      run: () => commonJs(cwd),
    },
    { name: `${label}, command line, packed`, skip, run: () => commandLine(cwd) },
    { name: `${label}, esbuild --keep-names, packed`, skip, run: () => keepNames(cwd) },
    { name: `${label}, TensorFlow.js, packed`, skip, run: () => tfjs(cwd) },
    {
      name: `${label}, --permission without workers, packed`,
      skip,
      run: async () => await noWorkers(cwd, (await versionOf("node"))!),
    },
  ];
}
