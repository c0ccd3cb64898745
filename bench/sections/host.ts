/**
 * What a call costs besides its kernels: time on the host, and memory beyond the tensors.
 * @module
 */

import { type Case, caseOf, operands, shapes } from "../cases.ts";
import type { Context } from "../context.ts";
import type { Measured, Value } from "../goals.ts";
import { submit } from "../measure/gpu_device.ts";
import { reasonOf, summarize, timingFields } from "../measure/statistics.ts";
import { digits3, mebibytes, percent, printTable } from "../measure/table.ts";
import { webgpuEngine } from "../subjects/flashtile.ts";

const TINY = "1x2x32x64";
const CALLS = 200;
const SAMPLES = 9;
/** A constant this small is no growth. */
const SMALL_BYTES = 2 ** 18;

export async function hostSection(context: Context): Promise<Measured[]> {
  const ids = ["webgpu host", "webgpu memory"], measures = [hostOverhead, memoryGrowth];
  const found: Measured[] = [];
  for (const [i, id] of ids.entries()) {
    try {
      found.push({ id, values: await measures[i](context) });
    } catch (error) {
      found.push({ id, values: [], because: reasonOf(error) });
    }
  }
  return found;
}

async function hostOverhead(context: Context): Promise<Value[]> {
  const engine = await context.engine();
  const c = caseOf(TINY), data = operands(c), shape = shapes(c).q;
  const [q, k, v] = [data.q, data.k, data.v].map((x) => engine.tensor(x, shape));
  const calls: number[] = [], whole: number[] = [];
  // One more than counted: the first compiles.
  for (let sample = 0; sample <= SAMPLES; sample++) {
    const start = performance.now();
    for (let i = 0; i < CALLS; i++) {
      const { out, lse } = await engine.attention(q, k, v, { layout: "bhsd" });
      out.dispose();
      lse.dispose();
    }
    const given = performance.now();
    await engine.synchronize();
    if (sample === 0) continue;
    calls.push((given - start) / CALLS);
    whole.push((performance.now() - start) / CALLS);
  }
  for (const tensor of [q, k, v]) tensor.dispose();
  const call = summarize("call", calls), all = summarize("with device", whole);
  printTable(`Host overhead: ${CALLS} calls of ${TINY}, then synchronize`, ["", "µs", "spread"], [
    ["await engine.attention", digits3(call.medianMs * 1000), percent(call.spread)],
    ["until the device is done", digits3(all.medianMs * 1000), percent(all.spread)],
  ]);
  context.results.add("gpu-host", { case: TINY, doneMs: all.medianMs, ...timingFields(call) });
  return [{ of: TINY, value: call.medianMs }];
}

async function memoryGrowth(context: Context): Promise<Value[]> {
  const rows: string[][] = [], uses: { forward: number; backward: number }[] = [];
  for (const c of context.cases("memory")) {
    const use = await beyondTensors(c), matrix = 4 * c.queryHeads * c.lengthQ * c.lengthK;
    uses.push(use);
    context.results.add("gpu-memory", { case: c.name, ...use });
    rows.push([c.name, ...[use.forward, use.backward, matrix].map(mebibytes)]);
  }
  const title = "Buffers beyond inputs and results, first call of an engine";
  printTable(title, ["case", "forward", "backward", "a score matrix"], rows);
  const [small, large] = uses;
  return (["forward", "backward"] as const)
    .map((of) => ({ of, value: large[of] <= SMALL_BYTES ? 1 : large[of] / small[of] }));
}

/** Peak bytes of buffers that are neither inputs nor results, for either pass. */
async function beyondTensors(c: Case): Promise<{ forward: number; backward: number }> {
  const engine = await webgpuEngine(), { device } = engine;
  const counted = countBuffers(device);
  const data = operands(c), shape = shapes(c).q;
  const [q, k, v, dOut] = [data.q, data.k, data.v, data.dOut].map((x) => engine.tensor(x, shape));
  const rowBytes = 4 * c.batch * c.queryHeads * c.lengthQ;
  const peakOf = async (results: number, record: (pass: GPUComputePassEncoder) => void) => {
    const before = counted.peak = counted.live;
    submit(device, record);
    await device.queue.onSubmittedWorkDone();
    return Math.max(0, counted.peak - before - results);
  };
  const options = { layout: "bhsd" } as const;
  let saved = { q, k, v, out: q, lse: q };
  const forward = await peakOf(rowBytes * (c.headDim + 1), (pass) => {
    saved = { q, k, v, ...engine.encode(pass, q, k, v, options) };
  });
  const backward = await peakOf(3 * rowBytes * c.headDim, (pass) => {
    engine.encodeBackward(pass, dOut, saved, options);
  });
  engine.dispose();
  return { forward, backward };
}

/** Bytes of buffers, where they are made and destroyed: what a library takes, whatever it says. */
function countBuffers(device: GPUDevice): { live: number; peak: number } {
  const counted = { live: 0, peak: 0 };
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor), destroy = buffer.destroy.bind(buffer);
    let bytes = descriptor.size;
    counted.live += bytes;
    counted.peak = Math.max(counted.peak, counted.live);
    buffer.destroy = () => {
      counted.live -= bytes;
      bytes = 0;
      destroy();
    };
    return buffer;
  };
  return counted;
}
