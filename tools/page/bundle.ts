// The steps of a build: TypeScript to JavaScript, the kernels of the comparison to WebAssembly, the rest copied.
//
// `deno bundle` is the bundler: it resolves as Deno does, by the one map of imports and the one lock of this project, and its
// version is that of Deno (docs/decisions/031-a-page-without-a-framework.md).
import { fileURLToPath } from "node:url";
import { readOwnPages } from "../../examples/byte_lm/load_text.ts";
import { compileAsm } from "../build/compile.ts";

const ROOT = new URL("../../", import.meta.url);
const SOURCE = new URL("examples/page/", ROOT);
const FONT = "source-sans-3-latin-wght-normal.woff2";

/** Hosts that read this file send the headers that threads need. */
const HEADERS = `/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
`;

/** Paths of the files of a folder and its folders, relative to it. */
export async function filesIn(folder: URL | string, under = ""): Promise<string[]> {
  const found: string[] = [];
  const base = folder instanceof URL ? fileURLToPath(folder) : folder;
  for await (const { name, isDirectory } of Deno.readDir(`${base}/${under}`)) {
    const path = `${under}${name}`;
    if (isDirectory) found.push(...await filesIn(base, `${path}/`));
    else found.push(path);
  }
  return found.sort();
}

async function bundle(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform=browser", "--minify", ...args],
    cwd: fileURLToPath(SOURCE),
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`Cannot bundle the page:\n${new TextDecoder().decode(stderr)}`);
}

/** Makes the folder, empty. One that holds anything but a build is left alone. */
async function makeEmpty(folder: string): Promise<void> {
  try {
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
    if (names.length > 0 && !(names.includes("main.js") && names.includes("index.html"))) {
      throw new Error(`Cannot build into ${folder}: it has files that are not of a build`);
    }
    await Deno.remove(folder, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  await Deno.mkdir(folder, { recursive: true });
}

/** The kernels of standard attention, which are those that the benches have: with and without relaxed SIMD. */
async function compileStandard(folder: string): Promise<void> {
  for (const [name, simd] of [["relaxed", "simd,relaxed-simd"], ["plain", "simd"]]) {
    const flags = ["--enable", `${simd},bulk-memory`];
    const { binary } = await compileAsm("bench/asm/unfused", flags);
    await Deno.writeFile(`${folder}/standard-${name}.wasm`, binary);
  }
}

/** Builds the page into a folder. */
export async function buildPage(folder: string): Promise<void> {
  await makeEmpty(folder);
  const sources = await filesIn(SOURCE);
  const workers = sources.filter((path) => path.endsWith(".worker.ts"));
  const font = new URL("./", import.meta.resolve("@fontsource-variable/source-sans-3"));
  const copy = (from: URL, to: string) => Deno.copyFile(from, `${folder}/${to}`);
  await Promise.all([
    // one call, so that a worker and the page share chunks
    bundle(["--code-splitting", "--outdir", folder, "main.ts", ...workers]),
    bundle(["--format=iife", "--output", `${folder}/theme.js`, "theme.ts"]),
    compileStandard(folder),
    ...["index.html", "style.css", "icon.svg"].map((name) => copy(new URL(name, SOURCE), name)),
    copy(new URL(`files/${FONT}`, font), FONT),
    copy(new URL("LICENSE", font), "source-sans-3-licence.txt"),
    Deno.writeTextFile(`${folder}/_headers`, HEADERS),
  ]);
  for (const path of sources.filter((path) => path.startsWith("assets/"))) {
    await Deno.mkdir(`${folder}/${path.replace(/[^/]*$/, "")}`, { recursive: true });
    await copy(new URL(path, SOURCE), path);
  } // a text to train on and to look at
  await Deno.mkdir(`${folder}/assets`, { recursive: true });
  await Deno.writeFile(`${folder}/assets/pages.txt`, (await readOwnPages()).bytes);
}
