// Makes the npm package: what `deno pack` makes, without what only a build needs, with what npm and bundlers
// look for in package.json, and with the kernels as a file that edge functions import as a module.
//
//   deno task pack [FILE.tgz]
import { resolve } from "node:path";
import { kernelBytes } from "../src/kernels.ts";
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
const packed = await through(await Deno.readFile(target), new DecompressionStream("gzip"));
const MANIFEST = "package/package.json";
const described = changeFile(packed, MANIFEST, (text) => {
  const { name, version, exports, ...rest } = JSON.parse(text);
  const kernels = { types: `./${KERNEL_TYPES}`, default: `./${KERNELS}` };
  const all = { ...exports, [`./${KERNELS}`]: kernels };
  return `${JSON.stringify({ name, version, ...METADATA, ...rest, exports: all }, null, 2)}\n`;
});
const files = {
  [KERNELS]: kernelBytes("relaxed"),
  [KERNEL_TYPES]: new TextEncoder().encode(TYPES),
};
const whole = Object.entries(files).reduce(
  (archive, [path, data]) => addFile(archive, MANIFEST, `package/${path}`, data),
  described,
);
const result = await through(whole, new CompressionStream("gzip"));
await Deno.writeFile(target, result);
console.log(`${target}: ${(result.length / 1024).toFixed(0)} KiB`);
