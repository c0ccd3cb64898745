/**
 * What a figure was measured on. Every stored line carries it: a number without its machine and
 * versions cannot be compared with anything.
 * @module
 */

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

type Field = "cpu" | "deno" | "v8" | "asc" | "os" | "date" | "command";
export type Machine = { readonly [of in Field]: string } & {
  readonly cores: number;
  /** Of a report on a GPU, and whether it is one in software. */
  readonly adapter?: string;
  readonly software?: boolean;
};

export function describeMachine(): Machine {
  return {
    cpu: cpuName(),
    cores: availableParallelism(),
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    asc: ascVersion(),
    os: `${Deno.build.os} ${Deno.osRelease()}`,
    date: new Date().toISOString(),
    command: [Deno.mainModule.split("/").slice(-2).join("/"), ...Deno.args].join(" "),
  };
}

/** One line for the top of a report. */
export function machineLine(m: Machine): string {
  return `${m.cpu}, ${m.cores} cores · Deno ${m.deno}, V8 ${m.v8}, asc ${m.asc} · ${m.date}`;
}

function cpuName(): string {
  const info = textOf("/proc/cpuinfo");
  const field = (name: string) => new RegExp(`^${name}\\s*:\\s*(.*)$`, "m").exec(info)?.[1];
  const model = field("model name");
  if (!model) return `${Deno.build.arch} (unknown model)`;
  // Cloud machines hide the model name; family and model number still tell the core apart.
  return `${model.trim()} (family ${field("cpu family")} model ${field("model")})`;
}

/** The version the project pins: asc itself offers it only after loading all of binaryen. */
function ascVersion(): string {
  const config = textOf(new URL("../../deno.json", import.meta.url));
  return /npm:assemblyscript@([\d.]+)/.exec(config)?.[1] ?? "unknown";
}

function textOf(path: string | URL): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** A field of /proc/self/status in bytes, or NaN where there is no such file. */
export function processMemory(field: "VmRSS" | "VmHWM"): number {
  const match = new RegExp(`${field}:\\s+(\\d+) kB`).exec(textOf("/proc/self/status"));
  return match ? Number(match[1]) * 1024 : NaN;
}
