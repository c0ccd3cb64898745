// Programs that come as npm packages: other versions of Node, and Bun. They are fetched by npx when they are first
// asked for, since they are large and most machines have some of them.
import { run, versionOf } from "./process.ts";

/** Seconds to download one. */
const SECONDS = 120;

const found = new Map<string, Promise<string>>();

/** The path of a program from the npm registry, such as `node@24.21.0`. */
export function fetched(name: string): Promise<string> {
  let path = found.get(name);
  if (!path) {
    const args = ["-y", name, "-p", "process.execPath"];
    path = run("npx", args, { cwd: ".", seconds: SECONDS }).then(({ stdout }) => stdout.trim());
    path.catch(() => {}); // who asks for it hears of it
    found.set(name, path);
  }
  return path;
}

let npm: Promise<string | undefined> | undefined;

/** Why nothing can be fetched. */
export async function noNpm(): Promise<string | undefined> {
  npm ??= versionOf("npx");
  return await npm ? undefined : "there is no npx on the PATH";
}
