/**
 * How long the event loop stands still during asynchronous calls, and how long an aborted call takes to end.
 *
 *   deno run -A bench/event_loop.ts [THREADS] [WORD...]     only cases whose name holds one of the words
 *   deno bundle -o gaps.mjs bench/event_loop.ts && node gaps.mjs
 * @module
 */

import { type AttentionOptions, createEngine, type DType, type HostTensor } from "../mod.ts";

/** Of Node, Deno and Bun; the processor's time of this thread: Node from 23.9 on. */
interface Process {
  readonly argv: string[];
  threadCpuUsage?(): { user: number; system: number };
}

type Case = readonly [name: string, q: HostTensor, k: HostTensor, options?: AttentionOptions];

const { process } = globalThis as { process?: Process };
const [threads = "2", ...words] = process?.argv.slice(2) ?? [];
/** Calls of which the medians are taken. */
const SAMPLES = 5;

function tensor(shape: readonly number[], dtype: DType = "f32"): HostTensor {
  const n = shape.reduce((a, b) => a * b);
  if (dtype === "f32") return { data: new Float32Array(n).fill(0.01), shape };
  return { data: new Uint16Array(n).fill(0x2c00), shape, dtype }; // 1/16
}

function square(length: number, heads: number, dtype?: DType): readonly [HostTensor, HostTensor] {
  const x = tensor([1, length, heads, 64], dtype);
  return [x, x];
}

const mask = { data: new Uint8Array(4096 * 4096).fill(1), shape: [4096, 4096] };
mask.data[5] = 0;
const few = (dtype?: DType) =>
  [tensor([1, 1, 32, 64], dtype), tensor([1, 65536, 32, 64], dtype)] as const;
/** Each is one call of a second or two. */
const cases: readonly Case[] = [
  ["forward, many heads", ...square(4096, 32)],
  ["forward, long", ...square(16384, 4), { causal: true }],
  ["forward, f16", ...square(4096, 32, "f16")],
  ["forward, mask", ...square(4096, 32), { mask }],
  ["forward, bias of each head", ...square(4096, 8), { bias: tensor([8, 4096, 4096]) }],
  ["backward, many heads", ...square(4096, 12)],
  ["backward, long", ...square(16384, 1), { causal: true }],
  ["backward, bias", ...square(4096, 6), { bias: tensor([4096, 4096]) }],
  ["decode, host keys", ...few()],
  ["decode, host keys, f16", ...few("f16")],
];

const median = (xs: readonly number[]): number => xs.toSorted((a, b) => a - b)[xs.length >> 1]!;

/** Milliseconds of the processor: other programs on the machine do not show in it. */
function processorMs(): number {
  const used = process?.threadCpuUsage?.();
  return used ? (used.user + used.system) / 1e3 : NaN;
}

/** Watches a timer that is always due; what is returned ends it: the longest time between two turns, by both clocks. */
function watch(): () => readonly [clock: number, processor: number] {
  let clock = 0, processor = 0, last = performance.now(), lastUsed = processorMs(), running = true;
  const look = () => {
    const now = performance.now(), used = processorMs();
    [clock, processor] = [Math.max(clock, now - last), Math.max(processor, used - lastUsed)];
    [last, lastUsed] = [now, used];
    if (running) setTimeout(look, 1);
  };
  setTimeout(look, 1);
  return () => {
    running = false;
    look();
    return [clock, processor];
  };
}

const engine = await createEngine({ backend: "wasm", threads: Number(threads) });
console.log(`${engine.reason}
longest gaps between turns: median, worst, of the processor alone, in the first call; ms
case                           call    gap  worst   own  first    abort  worst`);
for (const [name, q, k, options] of cases) {
  if (words.length && !words.some((word) => name.includes(word))) continue;
  const saved = name.startsWith("backward") && {
    ...{ q, k, v: k, ...await engine.attention(q, k, k, options) },
  };
  const call = (signal?: AbortSignal): Promise<unknown> =>
    saved
      ? engine.attentionBackward(saved.out, saved, { ...options, signal })
      : engine.attention(q, k, k, { ...options, signal });
  const times: number[] = [], clocks: number[] = [], own: number[] = [], aborts: number[] = [];
  const first = watch();
  await call();
  const [firstGap] = first();
  for (let n = 0; n < SAMPLES; n++) {
    const stop = watch(), begin = performance.now();
    await call();
    times.push(performance.now() - begin);
    const [clock, processor] = stop();
    clocks.push(clock);
    own.push(processor);
  }
  for (let n = 0; n < SAMPLES; n++) {
    const controller = new AbortController();
    let aborted = -Infinity; // where the call ended by itself
    setTimeout(() => {
      aborted = performance.now();
      controller.abort();
    }, median(times) * (n + 1) / 8);
    await call(controller.signal).catch(() => {});
    aborts.push(performance.now() - aborted);
  }
  const figures = [median(times), median(clocks), Math.max(...clocks), median(own), firstGap];
  console.log(
    name.padEnd(28),
    ...[...figures, median(aborts), Math.max(...aborts)].map((x) => x.toFixed(0).padStart(6)),
  );
}
engine.dispose();
