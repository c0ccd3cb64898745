// Makes the npm package: what `deno pack` makes, without what only a build needs, with what npm and bundlers look for in
// package.json, with the kernels as a file that edge functions import as a module, and with the packages of the command
// line inside, so that installing the library installs nothing else.
//
//   deno task pack [FILE.tgz]
import { resolve } from "node:path";
import { kernelBytes } from "../src/kernels.ts";
import { BUNDLED, NOTICES, PACKAGES } from "./bundled.ts";
import { addFile, changeFile } from "./tar.ts";

const root = new URL("../", import.meta.url);
/** Sources of the kernels: the package holds what became of them. */
const LEFT_OUT = [
  "expression/",
  "features/",
  "kernels/",
  "micro/",
  "stages/",
  "main.ts",
  "tsconfig.json",
]
  .map((name) => `asm/${name}`);

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

/** The kernels as a file, and its types: an object, since a project may have no types of WebAssembly. */
const KERNELS = "flashtile.wasm", KERNEL_TYPES = "flashtile.wasm.d.ts";
const TYPES = `/** The kernels, a compiled WebAssembly.Module: for createEngine({ wasmModule }). */
declare const wasmModule: object;
export default wasmModule;
`;

async function through(
  bytes: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
): Promise<Uint8Array<ArrayBuffer>> {
  const body = new Blob([bytes]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(body).arrayBuffer());
}

const { version } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root)));
const [target = `flashtile-attention-${version}.tgz`] = Deno.args;
// under npx the name on the PATH is not the path of the executable
const deno = [Deno.execPath(), "deno"]
  .find((command) => Deno.permissions.querySync({ name: "run", command }).state === "granted");
const { success, stderr } = await new Deno.Command(deno ?? "deno", {
  // source maps would name files of this machine
  args: ["pack", "--allow-dirty", "--quiet", "--no-source-maps", `--ignore=${LEFT_OUT}`]
    .concat("--output", resolve(target)),
  cwd: root,
  stderr: "piped",
}).output();
if (!success) {
  console.error(new TextDecoder().decode(stderr));
  Deno.exit(1);
}
/** A file of the command line with the packages that it imports, as one text. */
async function bundled(file: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(deno ?? "deno", {
    args: ["bundle", "--quiet", "--minify", "--platform=browser", file],
    ...{ cwd: root, stdout: "piped", stderr: "piped" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const notice = [
    ...NOTICES[file]!,
    "MIT License: its text is in the file LICENSE of this package",
  ];
  return `/*! ${notice.join("\n * ")} */\n${new TextDecoder().decode(stdout)}`;
}

/** The name of a source in the package. */
const inPackage = (file: string): string => `package/${file.replace(/\.ts$/, ".js")}`;

const MANIFEST = "package/package.json";
let packed = await through(await Deno.readFile(target), new DecompressionStream("gzip"));
packed = changeFile(packed, MANIFEST, (text) => {
  const { name, version, exports, dependencies, ...rest } = JSON.parse(text);
  const kernels = { types: `./${KERNEL_TYPES}`, default: `./${KERNELS}` };
  const all = { ...exports, [`./${KERNELS}`]: kernels };
  // only ./cluster has any that are not bundled: whoever imports it installs them, and nobody else has to
  const peers = Object.entries(dependencies).filter(([peer]) => !PACKAGES.includes(peer));
  const made = {
    ...{ name, version, ...METADATA, ...rest, exports: all },
    peerDependencies: Object.fromEntries(peers),
    peerDependenciesMeta: Object.fromEntries(peers.map(([peer]) => [peer, { optional: true }])),
  };
  return `${JSON.stringify(made, null, 2)}\n`;
});
packed = addFile(packed, MANIFEST, `package/${KERNELS}`, kernelBytes("relaxed"));
packed = addFile(packed, MANIFEST, `package/${KERNEL_TYPES}`, new TextEncoder().encode(TYPES));
for (const file of BUNDLED) {
  const text = await bundled(file);
  packed = changeFile(packed, inPackage(file), () => text);
}
packed = changeFile(packed, inPackage("src/cli.ts"), (text) => `#!/usr/bin/env node\n${text}`);
const result = await through(packed, new CompressionStream("gzip"));
await Deno.writeFile(target, result);
console.log(`${target}: ${(result.length / 1024).toFixed(0)} KiB`);
