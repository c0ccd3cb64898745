// Makes the npm package: the types that `deno pack` makes, JavaScript as one file for each entry and the chunks that they
// share, what npm and bundlers look for in package.json, and the kernels as a file that edge functions import as a module.
//
//   deno task pack [FILE.tgz]
import { gzipSync } from "node:zlib";
import { createTar, parseTarGzip } from "nanotar";
import { kernelBytes } from "../src/kernels.ts";
import { NOTICES, PACKAGES } from "./bundled.ts";
import { bundleEntries, minified, runDeno } from "./chunks.ts";

/** What `deno pack` does not know of. */
const METADATA = {
  description: "Exact FlashAttention, forward and backward, for every JavaScript runtime: " +
    "WebAssembly SIMD with threads, and WebGPU",
  keywords: [
    "attention",
    "flash-attention",
    "transformer",
    "machine-learning",
    "webassembly",
    "simd",
    "webgpu",
    "backward",
    "kv-cache",
  ],
  bin: { flashtile: "./src/cli.js" },
  sideEffects: false,
  engines: { node: ">=18.20" },
};

const MANIFEST = "package.json", CLI = "src/cli.js";
/** The kernels as a file, and its types: an object, since a project may have no types of WebAssembly. */
const KERNELS = "flashtile.wasm", KERNEL_TYPES = "flashtile.wasm.d.ts";
const TYPES = `/** The kernels, a compiled WebAssembly.Module: for createEngine({ wasmModule }). */
declare const wasmModule: object;
export default wasmModule;
`;

/** Files of a package by path. */
type Files = Map<string, string | Uint8Array>;

const [asked, ...more] = Deno.args;
if (more.length > 0 || asked?.startsWith("-")) {
  console.error("usage: deno task pack [FILE.tgz]");
  Deno.exit(asked === "--help" ? 0 : 2);
}

/** What `deno pack` makes, by paths within the package. */
async function denoPack(): Promise<Files> {
  const target = await Deno.makeTempFile({ prefix: "flashtile-", suffix: ".tgz" });
  try {
    // source maps would name files of this machine
    await runDeno(["pack", "--allow-dirty", "--quiet", "--no-source-maps", "--output", target]);
    const files = await parseTarGzip(await Deno.readFile(target));
    return new Map(files.map(({ name, data }) => [name.replace(/^package\//, ""), data!]));
  } finally {
    await Deno.remove(target);
  }
}

/** Types, and what people read. */
function isKept(path: string): boolean {
  return path.endsWith(".d.ts") || path.endsWith(".md") || path === "LICENSE";
}

/** package.json, from what `deno pack` puts into it. */
function manifestOf({ name, version, exports, dependencies, ...rest }: Manifest): string {
  const kernels = { types: `./${KERNEL_TYPES}`, default: `./${KERNELS}` };
  // only ./cluster has any that are not bundled: whoever imports it installs them, and nobody else has to
  const peers = Object.entries(dependencies).filter(([peer]) => !PACKAGES.includes(peer));
  const made = {
    ...{ name, version, ...METADATA, ...rest, exports: { ...exports, [`./${KERNELS}`]: kernels } },
    peerDependencies: Object.fromEntries(peers),
    peerDependenciesMeta: Object.fromEntries(peers.map(([peer]) => [peer, { optional: true }])),
  };
  return `${JSON.stringify(made, null, 2)}\n`;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

/** The JavaScript of every entry. The command line, a program and its packages, is minified; the library can be read. */
async function javascriptOf(dependencies: readonly string[]): Promise<Files> {
  const { exports } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  const entries = Object.values<string>(exports);
  const packages = dependencies.filter((name) => !PACKAGES.includes(name));
  const texts = await bundleEntries(entries, packages);
  for (const [path, text] of texts) {
    if (path === CLI || path.startsWith("encode_png")) texts.set(path, await minified(text));
  }
  texts.set(CLI, `#!/usr/bin/env node\n${texts.get(CLI)!}`);
  return texts;
}

const made = await denoPack();
const manifest: Manifest = JSON.parse(new TextDecoder().decode(made.get(MANIFEST) as Uint8Array));
const files: Files = new Map([
  [MANIFEST, manifestOf(manifest)],
  ...[...made].filter(([path]) => isKept(path)),
  ...await javascriptOf(Object.keys(manifest.dependencies)),
  [KERNELS, kernelBytes("relaxed")],
  [KERNEL_TYPES, TYPES],
  ["NOTICES", NOTICES],
]);
// the same files make the same bytes: no time of day, nobody's name
const attrs = { mode: "644", mtime: 0, uid: 0, gid: 0 };
const archive = createTar([...files].map(([name, data]) => ({ name: `package/${name}`, data })), {
  attrs,
});
const target = asked ?? `flashtile-attention-${manifest.version}.tgz`;
const result = gzipSync(archive, { level: 9 });
await Deno.writeFile(target, result);
console.log(`${target}: ${(result.length / 1024).toFixed(0)} KiB`);
