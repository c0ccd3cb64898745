// Functions that the user wrote, as a module.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { show } from "../../tensor/errors.ts";
import { FileError } from "../exit.ts";

/** What somebody's code threw, which may be anything. */
export function thrown(error: unknown): string {
  return error instanceof Error ? error.message : `it threw ${show(error)}`;
}

/** What a module exports. */
export async function loadModule(path: string): Promise<Record<string, unknown>> {
  try {
    return await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    throw new FileError(`Cannot read ${path}: ${thrown(error)}`);
  }
}
