// tsc 7 against the tarball's .d.ts files, which it checks as well unless told not to.
import { tsc } from "../install.ts";
import type { Consumer } from "./consumer.ts";

async function check(cwd: string, project: string, more: string[] = []): Promise<string> {
  await tsc(cwd, ["--project", project, "--noEmit", ...more]);
  return "no type error";
}

/** The consumers that only compile. */
export function typescriptConsumers(cwd: string): Consumer[] {
  return [
    {
      name: "tsc 7, nodenext, lib es2023 and esnext.disposable, packed",
      run: () => check(cwd, "tsconfig.types.json"),
    },
    {
      name: "tsc 7, nodenext, lib es2023, skipLibCheck, packed",
      run: () => check(cwd, "tsconfig.types.json", ["--lib", "es2023", "--skipLibCheck"]),
    },
    {
      name: "tsc 7, nodenext, lib es2023, esnext.disposable and dom, packed",
      run: () => check(cwd, "tsconfig.apps.json"),
    },
  ];
}
