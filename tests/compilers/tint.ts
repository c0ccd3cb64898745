// Every kernel text through Tint: the compiler of Chromium, Edge and Dawn. Dawn's null backend checks texts and
// pipelines without a driver, on the limits that every device has. Texts that need more are refused with the
// number that they need, which is how workgroup memory is counted.
import { create } from "webgpu";
import { countBuffers, type KernelText } from "./kernels.ts";
import type { Gpu, GpuDevice } from "../../src/webgpu/device/api.ts";
import { checkAll, compile, errorOf, type Verdict } from "./compile.ts";

const TOO_MUCH_MEMORY = /^The total use of workgroup storage \((\d+) bytes\) is larger/;
const TOO_MANY_BUFFERS = /^The number of storage buffers \((\d+)\) in the Compute stage exceeds/;

const gpu = create(["backend=null"]) as unknown as Gpu;
const device: GpuDevice = await (await gpu.requestAdapter())!.requestDevice({
  requiredFeatures: ["subgroups", "shader-f16"],
});
const { limits } = device, room = limits.maxComputeWorkgroupStorageSize!;
const buffers = limits.maxStorageBuffersPerShaderStage!;
/** More than there is room for. */
const PADDING = room + 16;

/** The text with so much workgroup memory more that no device can have it. */
function padded(text: KernelText): KernelText {
  const main = /fn main\([^{]*\) \{/;
  if (!main.test(text.code)) throw new Error(`no main in ${text.key}`);
  const code = text.code.replace(main, (head) => `${head} padding[0] = 0u;`) +
    `var<workgroup> padding: array<u32, ${PADDING / 4}>;\n`;
  return { ...text, code };
}

/** Bytes by the declarations that take them: few, so each is counted once. */
const counted = new Map<string, number>();

async function check(text: KernelText): Promise<Verdict> {
  const { code } = text;
  const refusal = await compile(device, text) ?? "";
  if (TOO_MANY_BUFFERS.test(refusal) && countBuffers(code) > buffers) {
    // no pipeline of so many can be made here; whether the text is right can still be told
    return { error: await errorOf(device, () => void device.createShaderModule({ code })) };
  }
  const all = Number(TOO_MUCH_MEMORY.exec(refusal)?.[1]);
  if (all > room) return { bytes: all };
  if (refusal) return { error: refusal };
  const declarations = code.match(/^var<workgroup>.*$/gm)?.join() ?? "";
  let bytes = counted.get(declarations);
  if (bytes === undefined) {
    const message = await compile(device, padded(text)) ?? "";
    bytes = Number(TOO_MUCH_MEMORY.exec(message)?.[1]) - PADDING;
    if (!(bytes >= 0)) return { error: `cannot tell its workgroup memory: ${message}` };
    counted.set(declarations, bytes);
  }
  return { bytes };
}

console.log(JSON.stringify(await checkAll("tint", check)));
// Dawn's threads would keep the process
Deno.exit(0);
