// Node: the tarball as an ES module, compiled by tsc; threads where a tool keeps the names of functions, and where
// Node forbids workers. The Node of the PATH does all of it, other versions what could differ.
import type { TourReport } from "../apps/messages.ts";
import { checkInfo, checkOnce, checkScript, checkTfjs, checkTour, type Wanted } from "../check.ts";
import { here, tsc } from "../install.ts";
import { run, versionOf } from "../process.ts";
import { fetched, noNpm } from "../programs.ts";
import type { Consumer } from "./consumer.ts";

/** The oldest Node that has threads. */
const OLDEST = 20;
/** The current one, which is always tried. */
export const CURRENT = "24.21.0";
/** Others that are in use; 18 is older than threads. */
const OTHERS = ["18.20.8", "20.20.2", "22.23.3", "26.10.0"];

const ESBUILD = "node_modules/esbuild/bin/esbuild", TSX = "node_modules/tsx/dist/cli.mjs";

const majorOf = (version: string): number => Number(/^v?(\d+)\./.exec(version)?.[1]);

/** Whether a Node loads ES modules by `require`: from 20.19 and 22.12 on. */
async function requiresModules(node: string): Promise<boolean> {
  const script = "process.exit(process.features.require_module ? 0 : 1)";
  return await run(node, ["-e", script], { cwd: "." }).then(() => true, () => false);
}

async function tourOf(node: string, args: string[], cwd: string, wanted: Wanted): Promise<string> {
  const { stdout } = await run(node, args, { cwd });
  return checkTour(JSON.parse(stdout) as TourReport, wanted);
}

async function script(node: string, cwd: string): Promise<string> {
  const { stdout, end } = await run(node, ["dist/script.js"], { cwd });
  return checkScript(stdout, end);
}

/** A CommonJS project beside the ES modules, run by tsx, which keeps the names of functions. */
async function commonJs(node: string, cwd: string): Promise<string> {
  const folder = `${cwd}/commonjs`;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/package.json`, `{ "type": "commonjs" }`);
  for (const name of ["threads.ts", "tour.ts", "job.ts", "inputs.ts", "messages.ts"]) {
    await Deno.copyFile(`${cwd}/${name}`, `${folder}/${name}`);
  }
  return await tourOf(node, [here(TSX), "threads.ts"], folder, { threads: 2 });
}

async function keepNames(node: string, cwd: string): Promise<string> {
  const flags = ["--bundle", "--minify", "--keep-names", "--platform=node", "--format=esm"];
  await run(node, [here(ESBUILD), "threads.ts", ...flags, "--outfile=names.mjs"], { cwd });
  return await tourOf(node, ["names.mjs"], cwd, { threads: 2 });
}

/** Workers are forbidden: the flag is called so from 22.13 and 23.5 on. */
async function noWorkers(node: string, cwd: string): Promise<string> {
  const version = (await versionOf(node)) ?? "";
  const [major = 0, minor = 0] = version.slice(1).split(".").map(Number);
  const known = major > 23 || (major === 23 && minor >= 5) || (major === 22 && minor >= 13);
  const flags = [known ? "--permission" : "--experimental-permission", "--allow-fs-read=*"];
  const wanted = { threads: 1, remedy: "--allow-worker" };
  return await tourOf(node, [...flags, "dist/threads.js"], cwd, wanted);
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
async function tfjs(node: string, cwd: string): Promise<string> {
  await Deno.symlink(here("node_modules/@tensorflow"), `${cwd}/node_modules/@tensorflow`);
  await tsc(cwd, ["--project", "tsconfig.tfjs.json"]);
  const { stdout } = await run(node, ["dist/tfjs.js"], { cwd });
  return checkTfjs(stdout);
}

/** Everything, on the Node of the PATH. */
async function onPath(cwd: string): Promise<Consumer[]> {
  const version = await versionOf("node"), node = "node";
  const skip = version === undefined
    ? "there is no node on the PATH"
    : majorOf(version) >= OLDEST
    ? undefined
    : `node is ${version}, wanted ${OLDEST} or later`;
  const noRequire = skip ?? (await requiresModules(node) ? undefined : "it cannot require modules");
  const label = `node ${version ?? ""}`.trim();
  const once = async () => {
    const { stdout, end } = await run(node, ["dist/once.js"], { cwd });
    return checkOnce(stdout, end);
  };
  return [
    { name: `${label}, threads 1 and 2, packed`, skip, run: () => script(node, cwd) },
    { name: `${label}, one call and no dispose, packed`, skip, run: once },
    {
      name: `${label}, tsx in a CommonJS project, packed`,
      skip: noRequire,
      run: () => commonJs(node, cwd),
    },
    { name: `${label}, command line, packed`, skip, run: () => commandLine(cwd) },
    {
      name: `${label}, esbuild --keep-names, packed`,
      skip,
      run: () => keepNames(node, cwd),
    },
    { name: `${label}, TensorFlow.js, packed`, skip, run: () => tfjs(node, cwd) },
    {
      name: `${label}, --permission without workers, packed`,
      skip,
      run: () => noWorkers(node, cwd),
    },
  ];
}

/** What could differ on another version. */
async function onVersion(cwd: string, version: string): Promise<Consumer[]> {
  const skip = await noNpm(), node = () => fetched(`node@${version}`);
  if (majorOf(version) < OLDEST) {
    const wanted = { threads: 1, remedy: "from 20.16 and 22.3 on" };
    const run = async () => await tourOf(await node(), ["dist/tour_alone.js"], cwd, wanted);
    return [{ name: `node v${version}, one thread, packed`, skip, run }];
  }
  const consumers: Consumer[] = [
    {
      name: `node v${version}, threads 1 and 2, packed`,
      skip,
      run: async () => await script(await node(), cwd),
    },
    {
      name: `node v${version}, --permission without workers, packed`,
      skip,
      run: async () => await noWorkers(await node(), cwd),
    },
  ];
  if (majorOf(version) < 24) return consumers;
  return [...consumers, {
    name: `node v${version}, import source of flashtile.wasm, packed`,
    skip,
    run: async () => {
      const wanted = { threads: 1, remedy: "wasmModule was given" };
      return await tourOf(await node(), ["source_phase.mjs"], cwd, wanted);
    },
  }];
}

/** The consumers that Node runs; `all` has every version in use. */
export async function nodeConsumers(cwd: string, all: boolean): Promise<Consumer[]> {
  const mine = majorOf((await versionOf("node")) ?? "");
  const versions = [...all ? OTHERS : [], CURRENT].filter((version) => majorOf(version) !== mine);
  const others = await Promise.all(versions.map((version) => onVersion(cwd, version)));
  return [...await onPath(cwd), ...others.flat()];
}
