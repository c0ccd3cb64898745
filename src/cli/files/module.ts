// Functions that the user wrote, as a module.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { FileError } from "../exit.ts";

/** What a module exports. */
export async function loadModule(path: string): Promise<Record<string, unknown>> {
  try {
    return await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    throw new FileError(`Cannot read ${path}: ${(error as Error).message}`);
  }
}
