// One compiler over all texts, as a program of its own: naga ends its process on some mistakes. Prints a report
// in JSON.
import type { WebGpuTarget } from "../../src/plan/target.ts";
import type { GpuDevice } from "../../src/webgpu/device/api.ts";
import { Pipelines } from "../../src/webgpu/device/pipelines.ts";
import { findKernels, type KernelText } from "./kernels.ts";

/** What a compiler says. */
export interface Report {
  /** Texts that it was given. */
  readonly texts: number;
  /** Of these, texts whose workgroup memory it counted. */
  readonly counted: number;
  readonly failures: readonly string[];
  /** Why there is no such compiler here. */
  readonly absent?: string | undefined;
}

/** What checking a text gives: what is wrong, or its workgroup memory where the compiler counts it. */
export interface Verdict {
  readonly error?: string | undefined;
  readonly bytes?: number | undefined;
}

/** Runs something on a device; the message of its first validation error. */
export async function errorOf(device: GpuDevice, work: () => void): Promise<string | undefined> {
  device.pushErrorScope("validation");
  work();
  return (await device.popErrorScope())?.message.trim();
}

/** Makes a pipeline as the engine makes it; what is wrong with it. */
export function compile(
  device: GpuDevice,
  { key, code }: KernelText,
): Promise<string | undefined> {
  return errorOf(device, () => {
    if (key === PROBE) { // made before there are pipelines
      const module = device.createShaderModule({ code });
      device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    } else new Pipelines(device).get({ key, code: () => code });
  });
}

const PROBE = "probe";

/**
 * Checks all texts of a dialect. The key of the text at work is written to the file that the command line
 * names.
 */
export async function checkAll(
  dialect: WebGpuTarget["dialect"],
  check: (text: KernelText) => Promise<Verdict>,
): Promise<Report> {
  const { texts, faults } = findKernels(dialect), failures = [...faults], [progress] = Deno.args;
  let counted = 0;
  for (const text of texts) {
    const { key, neededBy, bytes } = text;
    if (progress) Deno.writeTextFileSync(progress, `${key}\n  needed by ${neededBy}`);
    const verdict = await check(text), taken = verdict.bytes;
    const much = taken !== undefined && bytes !== undefined && taken > bytes
      ? `takes ${taken} bytes of workgroup memory but the plan counts ${bytes}`
      : undefined;
    const wrong = verdict.error ?? much;
    if (wrong) failures.push(`${key}\n  needed by ${neededBy}\n  ${wrong}`);
    if (taken !== undefined) counted++;
  }
  return { texts: texts.length, counted, failures };
}
