/**
 * The compilers of GPUs that are not there: a folder beside the project, which it does not need for anything else.
 * @module
 */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { StaticKernel } from "./kernels.ts";

/** GPUs as the folder names them, with their compilers. */
export const COMPILERS: Readonly<Record<string, string>> = {
  gh100: "NAK, Mesa 26.2",
  navi31: "ACO, Mesa 25.0",
  navi21: "ACO, Mesa 25.0",
};

/** What the folder must have: a library of bash, and what reads the listings of compilers. */
const FILES: readonly string[] = ["env.sh", "analyze.ts", "isa.ts", "compile", "dump_layer.so"];

export const ABSENT: string = `There are no compilers of GPUs here. Give the folder that has them:

  FLASHTILE_STATIC=/path/to/kit deno task bench:static      or --kit=/path/to/kit

It holds ${FILES.join(", ")}: env.sh defines "dumping DIR COMMAND...", which runs a program on
lavapipe under a Vulkan layer that writes the SPIR-V of its pipelines to DIR, and "compiling DIR GPU",
which has Mesa's compilers make them for a GPU that is not there, with statistics and listing, into
DIR/GPU; analyze.ts exports load, share and turnOf. It needs root (chroot), gcc and about 1.2 GB.`;

/** Counts of instructions of a turn of a loop. */
export interface Counts {
  readonly all: number;
  /** Of AMD: those that take a slot of the vector ALU. */
  readonly vector: number;
  readonly fma: number;
  readonly kinds: Readonly<Record<string, number>>;
}

/** What its analyzer says of a kernel. */
export interface Report extends Omit<StaticKernel, "code" | "tile"> {
  readonly isa: "amd" | "nv";
  readonly plan?: StaticKernel["tile"];
  readonly stats: Readonly<Record<string, number>>;
  readonly hot: readonly Counts[];
  readonly tile?: Counts;
  readonly expected?: number;
}

/** Its analyzer. */
export interface Analyzer {
  load(dir: string): Report[];
  turnOf(dir: string, report: Report, trips: (inner: number) => number[]): { counts: Counts };
}

/** The folder that was named, if it has what it must. */
export function findKit(path: string | undefined): string | undefined {
  const folder = path && resolve(path);
  return folder && FILES.every((name) => existsSync(join(folder, name))) ? folder : undefined;
}

export function analyzerOf(kit: string): Promise<Analyzer> {
  return import(pathToFileURL(join(kit, "analyze.ts")).href);
}

/** Runs a line of bash that knows env.sh; throws with what it said where it fails. */
export async function run(kit: string, line: string): Promise<void> {
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", `. "$0/env.sh" && ${line}`, kit],
    env: { LOCK: Deno.env.get("LOCK") ?? "none" },
  }).output();
  const said = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("").trim();
  if (code !== 0) {
    throw new Error(`Cannot compile: ${line}\n${said.split("\n").slice(-8).join("\n")}`);
  }
}
