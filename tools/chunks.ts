// The JavaScript of the npm package: a file for each entry and the chunks that they share, since Node takes five times as
// long to import one file for each source (docs/decisions/048-npm-package.md).

/** Runs Deno in the root of the repository; throws what it says where it fails. */
export async function runDeno(args: readonly string[]): Promise<void> {
  // under npx the name on the PATH is not the path of the executable
  const deno = [Deno.execPath(), "deno"]
    .find((command) => Deno.permissions.querySync({ name: "run", command }).state === "granted");
  const { success, stderr } = await new Deno.Command(deno ?? "deno", {
    args: [...args],
    cwd: new URL("../", import.meta.url),
    stderr: "piped",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

/** Texts of JavaScript by path: of each entry, its path with another ending, and of the chunks beside them. */
export type Texts = Map<string, string>;

/** Bundles entries, TypeScript files by their paths from the root; `packages` stay imports. */
export async function bundleEntries(
  entries: readonly string[],
  packages: readonly string[],
): Promise<Texts> {
  const folder = await Deno.makeTempDir({ prefix: "flashtile-chunks-" });
  try {
    await runDeno([
      ...["bundle", "--quiet", "--code-splitting", "--platform=browser", `--outdir=${folder}`],
      ...packages.map((name) => `--external=${name}`),
      ...entries,
    ]);
    const texts = await readTexts(folder);
    const missing = entries.filter((entry) => !texts.has(javascriptPath(entry)));
    if (missing.length > 0) throw new Error(`nothing became of ${missing.join(", ")}`);
    return texts;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Where the JavaScript of an entry lies in the package. */
export function javascriptPath(entry: string): string {
  return entry.replace(/^\.\//, "").replace(/\.ts$/, ".js");
}

/** The same program in fewer bytes, its imports as they are. */
export async function minified(text: string): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "flashtile-minified-" });
  const [from, to] = [`${folder}/from.js`, `${folder}/to.js`];
  try {
    await Deno.writeTextFile(from, text);
    await runDeno([
      ...["bundle", "--quiet", "--minify", "--no-config", "--platform=browser"],
      ...["--inline-imports=false", `--output=${to}`, from],
    ]);
    return await Deno.readTextFile(to);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function readTexts(folder: string, below = ""): Promise<Texts> {
  const texts: Texts = new Map();
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${below}`)) {
    const path = `${below}${name}`;
    if (isDirectory) {
      for (const [inside, text] of await readTexts(folder, `${path}/`)) texts.set(inside, text);
    } else texts.set(path, await Deno.readTextFile(`${folder}/${path}`));
  }
  return texts;
}
