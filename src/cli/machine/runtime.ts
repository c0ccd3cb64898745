// What runs this program, as far as it may know.
import os from "node:os";
import process from "node:process";

/** Runtime and processor. */
export interface Runtime {
  /** `"deno"`, `"node"` or `"bun"`. */
  readonly name: string;
  readonly version: string;
  /** The JavaScript engine, where it says so. */
  readonly engine: string | undefined;
  readonly os: string;
  readonly architecture: string;
  /** Processors that this process may use. */
  readonly cores: number;
  /** Undefined where it may not be asked for: in Deno, `--allow-sys=cpus`. */
  readonly processor: string | undefined;
}

interface DenoLike {
  readonly permissions: { querySync(wanted: object): { state: string } };
}

/** The model of the processor; Deno would ask the user for it, so it is not asked without permission. */
function processorName(): string | undefined {
  const { Deno } = globalThis as { Deno?: DenoLike };
  const state = Deno?.permissions.querySync({ name: "sys", kind: "cpus" }).state ?? "granted";
  return state === "granted" ? os.cpus()[0]?.model.trim() : undefined;
}

/** Describes this process. */
export function runtimeOf(): Runtime {
  const { versions, platform, arch } = process;
  const name = ["deno", "bun"].find((name) => versions[name]) ?? "node";
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  return {
    ...{ name, version: versions[name]!, os: platform, architecture: arch },
    // Bun has a version of V8 too, the one whose interface it offers
    engine: name === "bun" ? "JavaScriptCore" : versions.v8 && `V8 ${versions.v8}`,
    cores: navigator?.hardwareConcurrency ?? os.availableParallelism(),
    processor: processorName(),
  };
}
