// Makes the library installed twice, in a temporary folder outside the repository: from the tarball that
// `deno task pack` writes, and from source by an import map. Both get the same copies of apps/.
import { fileURLToPath } from "node:url";
import { deno, run, versionOf } from "./process.ts";

const HERE = new URL(".", import.meta.url);
const ROOT = new URL("../../", import.meta.url);
const NPM_FLAGS = ["--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"];

/** Most bytes of the tarball: what should not be in it would not fit. The packages of the command line take 90 KiB. */
const MOST_BYTES = 580 * 1024;

/** Where the library is installed. */
export interface Installed {
  /** `node_modules` with the packed tarball; `dist/` holds the apps compiled by tsc. */
  readonly packed: string;
  /** A deno.json whose import map names the repository. */
  readonly source: string;
  /** What was packed, for people. */
  readonly note: string;
}

/** Path of a file in this folder. */
export function here(path: string): string {
  return fileURLToPath(new URL(path, HERE));
}

/** Runs tsc 7, which is a program of its own that Deno only starts. */
export async function tsc(cwd: string, args: readonly string[]): Promise<void> {
  await deno(["run", "-A", here("node_modules/typescript/bin/tsc"), ...args], {
    cwd,
  });
}

async function copyApps(folder: string): Promise<void> {
  await Deno.mkdir(folder);
  for await (const { name } of Deno.readDir(here("apps"))) {
    await Deno.copyFile(here(`apps/${name}`), `${folder}/${name}`);
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify(value, null, 2));
}

/** Packs the working tree, changed or not, and installs the tarball as npm would. */
async function installPacked(folder: string, tarball: string): Promise<string> {
  await deno(["run", "-A", "tools/pack.ts", tarball], { cwd: fileURLToPath(ROOT), seconds: 120 });
  await copyApps(folder);
  await writeJson(`${folder}/package.json`, { name: "consumer", private: true, type: "module" });
  if (await versionOf("npm")) {
    await run("npm", ["install", ...NPM_FLAGS, tarball], { cwd: folder });
  } else {
    const target = `${folder}/node_modules/@flashtile/attention`;
    await Deno.mkdir(target, { recursive: true });
    await run("tar", ["-xzf", tarball, "--strip-components=1", "-C", target], { cwd: folder });
  }
  // compiling only: whether the types are right is a consumer of its own (hosts/typescript.ts)
  await tsc(folder, ["--project", "tsconfig.apps.json", "--noCheck"]);
  const { size } = await Deno.stat(tarball);
  if (size > MOST_BYTES) throw new Error(`the tarball has ${size} bytes, wanted ${MOST_BYTES}`);
  return `tarball of ${Math.round(size / 1024)} KiB`;
}

/**
 * The strictest that TypeScript can be: a Deno project that imports sources compiles them with its own options.
 * `erasableSyntaxOnly` is left out: asm/abi.ts is AssemblyScript too, whose constants are enums.
 */
const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noFallthroughCasesInSwitch: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noPropertyAccessFromIndexSignature: true,
  noUncheckedIndexedAccess: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  verbatimModuleSyntax: true,
};

/** Config of a strict Deno project, beside the lenient one. */
export const STRICT_CONFIG = "deno.strict.json";

async function installSource(folder: string): Promise<void> {
  await copyApps(folder);
  const config = {
    nodeModulesDir: "none",
    lock: false,
    imports: {
      "@flashtile/attention": new URL("mod.ts", ROOT).href,
      "@flashtile/attention/kernels": new URL("src/kernels.ts", ROOT).href,
      "@flashtile/attention/onnx": new URL("src/onnx.ts", ROOT).href,
      "@flashtile/attention/interop": new URL("src/interop.ts", ROOT).href,
      "@flashtile/attention/tfjs": new URL("src/tfjs.ts", ROOT).href,
      "@flashtile/attention/check": new URL("src/check.ts", ROOT).href,
    },
  };
  await writeJson(`${folder}/deno.json`, config);
  await writeJson(`${folder}/${STRICT_CONFIG}`, { ...config, compilerOptions: STRICT });
}

/** Installs both ways below `folder`. */
export async function install(folder: string): Promise<Installed> {
  const packed = `${folder}/packed`, source = `${folder}/source`;
  const note = await installPacked(packed, `${folder}/attention.tgz`);
  await installSource(source);
  return { packed, source, note };
}
