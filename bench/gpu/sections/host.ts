/**
 * What a call costs besides its kernels: time on the host, and memory beyond the tensors.
 * @module
 */

import { type Case, operands } from "../../cases.ts";
import { summarize } from "../../measure/race.ts";
import { digits3, mebibytes, percent, printTable } from "../../measure/table.ts";
import { named } from "../cases.ts";
import { type GpuContext, reasonOf, timingFields } from "../context.ts";
import { CountedBuffers } from "../../measure/counted_buffers.ts";
import type { GpuGoal } from "../goals.ts";
import { type GpuEngine, openEngine } from "../../subjects/flashtile_webgpu.ts";

const TINY = "1x2x32x64";
const CALLS = 200;
const SAMPLES = 9;
/** A constant this small is no growth. */
const SMALL_BYTES = 2 ** 18;

export async function hostSection(context: GpuContext): Promise<GpuGoal[]> {
  const overhead = {
    goal: "host overhead of a call on resident tensors",
    target: 0.15,
    atLeast: false,
    unit: " ms",
  };
  const memory = {
    goal: "growth of memory beyond the tensors when the length doubles",
    target: 2.05,
    atLeast: false,
    unit: "×",
  };
  const { ours } = context;
  if ("missing" in ours) {
    const because = ours.missing;
    return [{ ...overhead, values: [], because }, { ...memory, values: [], because }];
  }
  const callMs = await hostOverhead(context, ours.engine);
  return [
    { ...overhead, values: [{ of: TINY, value: callMs }] },
    { ...memory, ...await memoryGrowth(context) },
  ];
}

async function hostOverhead(context: GpuContext, engine: GpuEngine): Promise<number> {
  const [c] = named([TINY]);
  const data = operands(c);
  const shape = [c.batch, c.queryHeads, c.lengthQ, c.headDim];
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
  return call.medianMs;
}

async function memoryGrowth(
  context: GpuContext,
): Promise<{ values: { of: string; value: number }[]; because?: string }> {
  const lengths = context.gpu.software ? [512, 1024] : [8192, 16384];
  try {
    const uses: { forward: number; backward: number }[] = [];
    for (const length of lengths) {
      const [c] = named([`1x2x${length}x64`]);
      const use = await beyondTensors(c);
      uses.push(use);
      context.results.add("gpu-memory", { case: c.name, ...use });
    }
    const rows = lengths.map((length, i) => [
      `1x2x${length}x64`,
      mebibytes(uses[i].forward),
      mebibytes(uses[i].backward),
      mebibytes(2 * 4 * length * length),
    ]);
    const title = "Buffers beyond inputs and results, first call of an engine";
    printTable(title, ["case", "forward", "backward", "a score matrix"], rows);
    const growth = (small: number, large: number) => large <= SMALL_BYTES ? 1 : large / small;
    return {
      values: (["forward", "backward"] as const).map((of) => ({
        of,
        value: growth(uses[0][of], uses[1][of]),
      })),
    };
  } catch (error) {
    return { values: [], because: reasonOf(error) };
  }
}

/** Peak bytes of buffers that are neither inputs nor results, for either pass. */
async function beyondTensors(c: Case): Promise<{ forward: number; backward: number }> {
  const engine = await openEngine();
  const counted = new CountedBuffers(engine.device);
  const data = operands(c);
  const shape = [c.batch, c.queryHeads, c.lengthQ, c.headDim];
  const [q, k, v, dOut] = [data.q, data.k, data.v, data.dOut].map((x) => engine.tensor(x, shape));
  const rowBytes = 4 * c.batch * c.queryHeads * c.lengthQ;
  const peakOf = async (results: number, record: (pass: GPUComputePassEncoder) => void) => {
    const before = counted.live;
    counted.restart();
    const encoder = engine.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    record(pass);
    pass.end();
    engine.device.queue.submit([encoder.finish()]);
    await engine.device.queue.onSubmittedWorkDone();
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
