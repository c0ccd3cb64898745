// Makes the npm package: what `deno pack` makes, without what only a build needs, and with what npm and
// bundlers look for in package.json.
//
//   deno task pack [FILE.tgz]
import { resolve } from "node:path";
import { changeFile } from "./tar.ts";

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
  sideEffects: false,
  engines: { node: ">=18.20" },
};

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
const packed = await through(await Deno.readFile(target), new DecompressionStream("gzip"));
const changed = changeFile(packed, "package/package.json", (text) => {
  const { name, version, dependencies: peerDependencies = {}, ...rest } = JSON.parse(text);
  // only one entry (./cluster) has any: whoever imports it installs them, and nobody else has to
  const peers = Object.keys(peerDependencies).map((peer) => [peer, { optional: true }]);
  const peerDependenciesMeta = Object.fromEntries(peers);
  const made = { name, version, ...METADATA, ...rest, peerDependencies, peerDependenciesMeta };
  return `${JSON.stringify(made, null, 2)}\n`;
});
const result = await through(changed, new CompressionStream("gzip"));
await Deno.writeFile(target, result);
console.log(`${target}: ${(result.length / 1024).toFixed(0)} KiB`);
