// Builds the kernels: register tiles -> asm/micro/tiles.gen.ts, hooks of features -> asm/stages/scores.gen.ts,
// AssemblyScript -> wasm, wasm -> a TypeScript module that holds it as text (kernel_text), the text of worker threads, a name for
// the text of all shaders, records of features -> tables in README.md and docs/features.md. The same bytes come out on every machine; `--check` compares
// instead of writing and fails when a committed file is stale.
import { readFileSync, writeFileSync } from "node:fs";
import { unrelax } from "../../src/wasm/module/lower_relaxed.ts";
import { type PackedKernels, TEXT_BYTE } from "../../src/wasm/module/unpack.ts";
import { unpackAnywhere } from "../../src/wasm/module/unpack_anywhere.ts";
import { compileAsm } from "./compile.ts";
import { pageWithFeatures, readmeWithFeatures } from "./features_table.ts";
import { hooksSource } from "./hooks.ts";
import { kernelText, sized } from "./kernel_text/text.ts";
import { interpreterSource, layoutSource } from "./interpreter.ts";
import { shadersHashModule } from "./shaders_hash.ts";
import { tablesSource } from "./tables.ts";
import { tilesSource } from "./tiles.ts";
import { workerModule } from "./worker.ts";

const root = new URL("../../", import.meta.url);
const check = Deno.args.includes("--check");
let stale = 0;

/** Writes a generated file, or with --check reports that it differs. */
function put(path: string, text: string): void {
  const url = new URL(path, root);
  let old = "";
  try {
    old = readFileSync(url, "utf8");
  } catch { /* the first build */ }
  if (old === text) return;
  if (check) {
    console.error(`${path} is stale: run \`deno task build\` and commit the result`);
    stale++;
  } else {
    writeFileSync(url, text);
    console.log(`wrote ${path}`);
  }
}

/** Compiles asm/main.ts. */
async function compile(
  { shared = false, edit }: {
    shared?: boolean;
    edit?: (path: string, text: string) => string;
  },
): Promise<Uint8Array> {
  const { binary, warnings } = await compileAsm("asm/main", [
    ...["--initialMemory", "1", "--maximumMemory", "65536", "--noExportMemory"],
    ...["--enable", `simd,bulk-memory${shared ? ",threads" : ""}`],
    ...(shared ? ["--sharedMemory"] : []),
  ], { edit });
  if (warnings && !check) console.warn(warnings);
  return sized(binary);
}

/** Compiles what makes the bytes of a text, with memory for both. */
async function compileUnpacker({ text, size }: PackedKernels): Promise<Uint8Array> {
  const pages = Math.ceil((TEXT_BYTE + text.length + size + 16) / 65536);
  const flags = ["--initialMemory", `${pages}`, "--enable", "bulk-memory"];
  const { binary, warnings } = await compileAsm("asm/unpack", flags, { ownMemory: true });
  if (warnings && !check) console.warn(warnings);
  return binary;
}

/** Where a shared and an unshared build differ: the flags byte of the memory import, and nothing else. */
function sharedFlagOffset(shared: Uint8Array, unshared: Uint8Array): number {
  const different = [...shared.keys()].filter((i) => shared[i] !== unshared[i]);
  if (shared.length !== unshared.length || different.length !== 1) {
    throw new Error(`shared and unshared builds differ in ${different.length} bytes, wanted 1`);
  }
  const at = different[0]!;
  if (shared[at] !== 3 || unshared[at] !== 1) {
    throw new Error("the differing byte is no memory flag");
  }
  return at;
}

/** Sources whose multiply-adds leave marks: instructions that occur nowhere else, of the same length. */
function mark(path: string, text: string): string {
  const marks: Record<string, [from: string, to: string][]> = {
    "asm/micro/vmath.ts": [
      ["f32x4.add(f32x4.mul(a, b), c)", "f32x4.min(f32x4.max(a, b), c)"],
      ["i32x4.add(f32x4.mul(a, b), c)", "i32x4.sub(f32x4.max(a, b), c)"],
      ["i16x8.q15mulr_sat_s(a, b)", "i16x8.avgr_u(a, b)"],
    ],
    "asm/main.ts": [["ASC_FEATURE_RELAXED_SIMD ? 1 : 0", "1"]],
  };
  for (const [from, to] of marks[path] ?? []) {
    if (text.split(from).length !== 2) throw new RangeError(`${path} has no single ${from}`);
    text = text.replace(from, to);
  }
  return text;
}

/**
 * The relaxed form of the plain build, found where the marked build differs from it: in place of the
 * multiplication stands a constant that is dropped, in place of the addition the fused instruction; the
 * same for dot products of four bytes, and of two (docs/decisions/002).
 */
function relax(plain: Uint8Array, marked: Uint8Array): { relaxed: Uint8Array; flag: number } {
  const relaxed = plain.slice(), flags: number[] = [];
  if (plain.length !== marked.length) throw new Error("the marked build has another length");
  for (const i of plain.keys()) {
    if (plain[i] === marked[i]) continue;
    if (plain[i] === 0xe6 && marked[i] === 0xe9) relaxed.set([0x41, 0, 0x1a], i - 1);
    else if (plain[i] === 0xe4 && marked[i] === 0xe8) relaxed.set([0xfd, 0x85, 0x02], i - 1);
    else if (plain[i] === 0xae && marked[i] === 0xb1) relaxed.set([0xfd, 0x93, 0x02], i - 1);
    else if (plain[i] === 0x82 && marked[i] === 0x9b) relaxed.set([0xfd, 0x92, 0x02], i - 1);
    else if (plain[i] === 0 && marked[i] === 1) relaxed[flags[flags.push(i) - 1]!] = 1;
    else throw new Error(`byte ${i} is no mark: ${plain[i]} in plain, ${marked[i]} in marked`);
  }
  if (flags.length !== 1) throw new Error(`${flags.length} bytes say which build it is, wanted 1`);
  return { relaxed, flag: flags[0]! };
}

put("asm/micro/tiles.gen.ts", tilesSource());
put("asm/tables.gen.ts", tablesSource());
put("asm/expression/interpreter.gen.ts", interpreterSource());
put("asm/expression/layout.gen.ts", layoutSource());
put("asm/stages/scores.gen.ts", hooksSource());
put("src/wasm/run/worker.gen.ts", workerModule());
put("src/webgpu/tune/shaders.gen.ts", shadersHashModule());
put("README.md", readmeWithFeatures());
put("docs/features.md", pageWithFeatures());
if (stale === 0) {
  const plain = await compile({}), shared = await compile({ shared: true });
  const offset = sharedFlagOffset(shared, plain);
  const { relaxed, flag } = relax(plain, await compile({ edit: mark }));
  if (unrelax(relaxed.slice(), flag).some((byte, i) => byte !== plain[i])) {
    throw new Error(
      "the plain build cannot be derived: a pattern of the relaxed one is not unique",
    );
  }
  const packed = kernelText(relaxed);
  if (unpackAnywhere(packed).some((byte, i) => byte !== relaxed[i])) {
    throw new Error("the text does not give the bytes that it was made of");
  }
  put(
    "src/wasm/module/kernels.gen.ts",
    `// Generated by tools/build/build.ts (deno task build) from asm/: do not edit.
import type { PackedKernels } from "./unpack.ts";

/** The relaxed build of the kernels, importing unshared memory, as streams of text (docs/decisions/049). */
export const packedKernels: PackedKernels = {
  size: ${packed.size},
  functions: ${packed.functions},
  streams: [${packed.streams.join(", ")}],
  text:
    "${packed.text}",
};
/** asm/unpack.ts compiled, hexadecimal. */
export const unpackerHex: string =
  "${(await compileUnpacker(packed)).toHex()}";
/** Set this byte to 3 to make the build import shared memory instead. */
export const sharedFlagOffset: number = ${offset};
/** 1 in the relaxed build, 0 in the plain one. */
export const relaxedFlagOffset: number = ${flag};
`,
  );
  if (!check) console.log(`${relaxed.length} bytes`);
}
if (stale) Deno.exit(1);
