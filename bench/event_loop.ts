/**
 * How long the event loop stands still during asynchronous calls, and how long an aborted call takes to
 * end. Each case is one call of a second or two.
 *
 *   deno run -A bench/event_loop.ts [THREADS] [WORD...]     only cases whose name holds one of the words
 *
 * Other hosts run what a bundler makes of it:
 *
 *   deno bundle -o gaps.mjs bench/event_loop.ts && node gaps.mjs
 * @module
 */

import {
  type AttentionOptions,
  createEngine,
  type DType,
  type Engine,
  type HostTensor,
} from "../mod.ts";

interface Process {
  readonly argv: string[];
  /** Microseconds of the processor that this thread took; Node from 23.9 on. */
  threadCpuUsage?(): { user: number; system: number };
}

const { process } = globalThis as { process?: Process };
const [threads = "2", ...words] = process?.argv.slice(2) ?? [];
/** Calls of which the medians are taken. */
const SAMPLES = 5;

interface Case {
  readonly name: string;
  readonly q: HostTensor;
  readonly k: HostTensor;
  readonly backward?: boolean;
  readonly options?: AttentionOptions;
}

function tensor(shape: readonly number[], dtype: DType = "f32"): HostTensor {
  const n = shape.reduce((a, b) => a * b), data = dtype === "f32" ? new Float32Array(n) : undefined;
  // small numbers of both kinds; 0x2c00 is 1/16 as f16
  return { data: data?.fill(0.01) ?? new Uint16Array(n).fill(0x2c00), shape, dtype };
}

function square(length: number, heads: number, dtype?: DType): Pick<Case, "q" | "k"> {
  const x = tensor([1, length, heads, 64], dtype);
  return { q: x, k: x };
}

const KEYS = 65536;
const mask = { data: new Uint8Array(4096 * 4096).fill(1), shape: [4096, 4096] };
mask.data[5] = 0;
const cases: readonly Case[] = [
  { name: "forward, many heads", ...square(4096, 32) },
  { name: "forward, long", ...square(16384, 4), options: { causal: true } },
  { name: "forward, f16", ...square(4096, 32, "f16") },
  { name: "forward, mask", ...square(4096, 32), options: { mask } },
  {
    name: "forward, bias of each head",
    ...square(4096, 8),
    options: { bias: tensor([8, 4096, 4096]) },
  },
  { name: "backward, many heads", ...square(4096, 12), backward: true },
  { name: "backward, long", ...square(16384, 1), backward: true, options: { causal: true } },
  {
    name: "backward, bias",
    ...square(4096, 6),
    backward: true,
    options: { bias: tensor([4096, 4096]) },
  },
  { name: "decode, host keys", q: tensor([1, 1, 32, 64]), k: tensor([1, KEYS, 32, 64]) },
  {
    name: "decode, host keys, f16",
    q: tensor([1, 1, 32, 64], "f16"),
    k: tensor([1, KEYS, 64 / 2, 64], "f16"),
  },
];

const median = (xs: number[]): number => xs.sort((a, b) => a - b)[xs.length >> 1]!;

/** Longest times between two turns of a timer that is always due: by the clock, and of the processor. */
interface Gap {
  readonly clock: number;
  readonly processor: number;
}

/** Milliseconds of the processor; other programs on the machine do not show in it. */
function processorMs(): number {
  const used = process?.threadCpuUsage?.();
  return used ? (used.user + used.system) / 1e3 : NaN;
}

/** Watches the event loop until the function that is returned is called. */
function watch(): () => Gap {
  let clock = 0, processor = 0, last = performance.now(), lastUsed = processorMs(), running = true;
  const look = () => {
    const now = performance.now(), used = processorMs();
    clock = Math.max(clock, now - last);
    processor = Math.max(processor, used - lastUsed);
    [last, lastUsed] = [now, used];
  };
  const tick = () => {
    if (!running) return;
    look();
    setTimeout(tick, 1);
  };
  setTimeout(tick, 1);
  return () => {
    running = false;
    look();
    return { clock, processor };
  };
}

type Call = (signal?: AbortSignal) => Promise<unknown>;

async function prepare(engine: Engine, { q, k, options, backward }: Case): Promise<Call> {
  if (!backward) return (signal) => engine.attention(q, k, k, { ...options, signal });
  const { out, lse } = await engine.attention(q, k, k, options);
  return (signal) =>
    engine.attentionBackward(out, { q, k, v: k, out, lse }, { ...options, signal });
}

/** Milliseconds from `abort()` to the end of the call; Infinity where the call ended by itself. */
async function abortAfter(call: Call, ms: number): Promise<number> {
  const controller = new AbortController();
  let aborted = Infinity;
  setTimeout(() => {
    aborted = performance.now();
    controller.abort();
  }, ms);
  try {
    await call(controller.signal);
    return Infinity;
  } catch {
    return performance.now() - aborted;
  }
}

const engine = await createEngine({ backend: "wasm", threads: Number(threads) });
console.log(engine.reason);
console.log(
  "longest gaps between turns: median, worst, of the processor alone, in the first call; ms",
);
console.log("case                           call    gap  worst   own  first    abort  worst");
for (const one of cases) {
  if (words.length && !words.some((word) => one.name.includes(word))) continue;
  const call = await prepare(engine, one), times: number[] = [], gaps: Gap[] = [];
  const first = watch();
  await call();
  const firstGap = first();
  for (let n = 0; n < SAMPLES; n++) {
    const stop = watch(), begin = performance.now();
    await call();
    times.push(performance.now() - begin);
    gaps.push(stop());
  }
  const time = median(times), aborts: number[] = [];
  for (let n = 0; n < SAMPLES; n++) aborts.push(await abortAfter(call, time * (n + 1) / 8));
  const clock = gaps.map((gap) => gap.clock), own = gaps.map((gap) => gap.processor);
  const [whole, gap, worst, processor, begin, abort, late] = [
    time,
    median(clock),
    Math.max(...clock),
    median(own),
    firstGap.clock,
    median(aborts),
    Math.max(...aborts),
  ].map((x) => x.toFixed(0).padStart(6));
  console.log(
    `${one.name.padEnd(28)}${whole} ${gap} ${worst}${processor} ${begin}   ${abort} ${late}`,
  );
}
engine.dispose();
