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
import { Subject, webgpuEngine } from "../subjects/flashtile.ts";
import { mapTuple } from "../../tests/tuples.ts";

const TINY = "1x2x32x64";
const CALLS = 200;
const SAMPLES = 9;
/** A constant this small is no growth. */
const SMALL_BYTES = 2 ** 18;

export async function hostSection(context: Context): Promise<Measured[]> {
  const found: Measured[] = [];
  for (const [id, measure] of [["host", hostOverhead], ["memory", memoryGrowth]] as const) {
    const values = await measure(context).catch((error) => reasonOf(error));
    const failed = typeof values === "string" ? { values: [], because: values } : { values };
    found.push({ id: `webgpu ${id}`, ...failed });
  }
  return found;
}

async function hostOverhead(context: Context): Promise<Value[]> {
  const engine = await context.engine();
  const c = caseOf(TINY), data = operands(c), shape = shapes(c).q;
  const [q, k, v] = mapTuple([data.q, data.k, data.v], (x) => engine.tensor(x, shape));
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
  const small = uses[0]!, large = uses[1]!;
  return (["forward", "backward"] as const)
    .map((of) => ({ of, value: large[of] <= SMALL_BYTES ? 1 : large[of] / small[of] }));
}

/** Peak bytes of buffers that are neither inputs nor results, for either pass. */
async function beyondTensors(c: Case): Promise<{ forward: number; backward: number }> {
  const engine = await webgpuEngine(), { device } = engine;
  const counted = countBuffers(device), rows = c.batch * c.queryHeads * c.lengthQ;
  const subject = new Subject(engine, { c, data: operands(c), causal: false });
  const peakOf = async (pass: "forward" | "backward", results: number) => {
    const before = counted.peak = counted.live;
    submit(device, (into) => subject.record(pass, into));
    await device.queue.onSubmittedWorkDone();
    return Math.max(0, counted.peak - before - 4 * results);
  };
  const forward = await peakOf("forward", rows * (c.headDim + 1));
  const backward = await peakOf("backward", rows * 3 * c.headDim);
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
