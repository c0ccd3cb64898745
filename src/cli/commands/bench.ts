// `bench`: figures that can be compared from machine to machine.
import { createEngine } from "../../engine/create_engine.ts";
import type { Engine } from "../../engine/engine.ts";
import { type AnyTensor, isResident } from "../../tensor/tensor.ts";
import { type Command, defineCommand, type Report, type ValuesOf } from "../command.ts";
import { engineFlags, engineOptions } from "../flags/engine.ts";
import { peakGflops } from "../machine/peak.ts";
import { type Runtime, runtimeOf } from "../machine/runtime.ts";
import { measure, type Measured } from "../machine/stopwatch.ts";
import { uniforms } from "../../tensor/random.ts";
import { ProgressBar } from "../progress.ts";
import type { Session } from "../session.ts";
import { digits, table } from "../text.ts";
import { numberKind, switchFlag, valueFlag, wholeKind, wholesKind } from "../values.ts";
import { VERSION } from "../version.ts";

const flags = {
  lengths: valueFlag("--lengths", wholesKind(1), "Default: 512,1024,2048,4096."),
  heads: valueFlag("--heads", wholeKind(1), "Default: 8."),
  headDim: valueFlag("--head-dim", wholeKind(1), "Default: 64."),
  seconds: valueFlag(
    "--seconds",
    numberKind("a number of seconds above 0", (s) => s > 0 && s < Infinity),
    "For each figure, after warming up. Default: 0.5.",
  ),
  causal: switchFlag("--causal", "Causal, and operations of the visible pairs."),
  ...engineFlags,
} as const;

const PASSES = ["forward", "backward", "decode"] as const;

/** What is the same in all figures. */
interface Shape {
  readonly heads: number;
  readonly headDim: number;
  readonly causal: boolean;
  /** Whether operands lie where the engine computes; workers and shared calls take those of the host. */
  readonly resident: boolean;
}

/** A figure. */
interface Line {
  readonly pass: typeof PASSES[number];
  readonly length: number;
  /** Median of a call. */
  readonly milliseconds: number;
  readonly gflops: number;
  /** Share of the peak; undefined where it is not known. */
  readonly ofPeak: number | undefined;
  readonly samples: number;
  /** Slowest quarter over the fastest: above 1.1 the machine was not quiet. */
  readonly spread: number;
}

/** A call that is measured; results are thrown away. */
interface Subject {
  readonly call: () => Promise<unknown>;
  readonly flops: number;
  readonly tensors: readonly AnyTensor[];
}

/** Frees what is resident among some tensors. */
function drop(tensors: Iterable<AnyTensor>): void {
  for (const tensor of tensors) if (isResident(tensor)) tensor.dispose();
}

async function subjectOf(
  engine: Engine,
  pass: Line["pass"],
  [length, heads, headDim]: readonly [number, number, number],
  { causal, resident }: Pick<Shape, "causal" | "resident">,
): Promise<Subject> {
  const tensor = (rows: number, seed: number): AnyTensor => {
    const data = uniforms(seed, rows * heads * headDim), shape = [1, rows, heads, headDim];
    return resident ? engine.tensor(data, shape) : { data, shape };
  };
  const rows = pass === "decode" ? 1 : length, q = tensor(rows, 1);
  const k = tensor(length, 2), v = tensor(length, 3), options = { causal };
  const { cost } = engine.explain(q, k, v, options);
  if (pass !== "backward") {
    const call = async () => drop(Object.values(await engine.attention(q, k, v, options)));
    return { call, flops: cost.flops, tensors: [q, k, v] };
  }
  const dOut = tensor(length, 4), { out, lse } = await engine.attention(q, k, v, options);
  const saved = { q, k, v, out, lse };
  return {
    call: async () => drop(Object.values(await engine.attentionBackward(dOut, saved, options))),
    flops: 2.5 * cost.flops, // five products
    tensors: [q, k, v, dOut, out, lse],
  };
}

function toLine(
  pass: Line["pass"],
  length: number,
  flops: number,
  { median, spread, samples }: Measured,
  peak: number | undefined,
): Line {
  const gflops = flops / median / 1e6;
  return {
    ...{ pass, length, milliseconds: median, gflops, samples, spread },
    ofPeak: peak === undefined ? undefined : gflops / peak,
  };
}

async function measureAll(
  engine: Engine,
  { lengths = [512, 1024, 2048, 4096], seconds = 0.5 }: ValuesOf<typeof flags>,
  shape: Shape,
  peak: number | undefined,
  session: Session,
): Promise<Line[]> {
  const { heads, headDim } = shape;
  const all = lengths.flatMap((length) => PASSES.map((pass) => ({ pass, length })));
  const bar = new ProgressBar(session, "bench"), lines: Line[] = [];
  try {
    for (const [n, { pass, length }] of all.entries()) {
      session.signal.throwIfAborted();
      bar.report(n / all.length);
      const sizes = [length, heads, headDim] as const;
      const { call, flops, tensors } = await subjectOf(engine, pass, sizes, shape);
      const measured = await measure(
        call,
        () => engine.synchronize(),
        1000 * seconds,
        session.signal,
      );
      drop(tensors);
      lines.push(toLine(pass, length, flops, measured, peak));
    }
  } finally {
    bar.end();
  }
  return lines;
}

function text(
  lines: readonly Line[],
  { name, version, processor, cores }: Runtime,
  about: readonly string[],
): string {
  const head = ["pass", "length", "ms", "GFLOP/s", "of peak", "spread"];
  const rows = lines.map(({ pass, length, milliseconds, gflops, ofPeak, spread }) => [
    ...[pass, String(length), digits(milliseconds), digits(gflops)],
    ofPeak === undefined ? "" : `${digits(100 * ofPeak)} %`,
    digits(spread),
  ]);
  const machine = `${name} ${version}, ${cores} cores${processor ? `, ${processor}` : ""}`;
  return [machine, ...about, "", table(head, rows)].join("\n");
}

async function benchmark(values: ValuesOf<typeof flags>, session: Session): Promise<Report> {
  const { heads = 8, headDim = 64, causal, workers, coexecute } = values, runtime = runtimeOf();
  const shape: Shape = { heads, headDim, causal, resident: !workers && !coexecute };
  const engine = await createEngine(engineOptions(values));
  try {
    const { target, reason } = engine;
    const oneThread = target.backend === "wasm" ? peakGflops(target.relaxedSimd) : undefined;
    const hands = target.backend === "wasm" ? target.workers || target.threads : undefined;
    const peak = oneThread === undefined ? undefined : oneThread * hands!;
    const lines = await measureAll(engine, values, shape, peak, session);
    const about = { batch: 1, dtype: "f32", ...shape };
    return {
      data: {
        version: VERSION,
        runtime,
        reason,
        shape: about,
        peak: { oneThread, all: peak },
        lines,
      },
      text: text(lines, runtime, [
        reason,
        `1 sequence, ${heads} heads of ${headDim}, f32${causal ? ", causal" : ""}, operands ${
          shape.resident ? "resident" : "on the host"
        }; decode: 1 query`,
        oneThread === undefined
          ? "peak: not measured on a GPU"
          : `peak: ${digits(oneThread)} GFLOP/s a thread, measured now, times ${hands}`,
      ]),
    };
  } finally {
    engine.dispose();
  }
}

/** `bench`. */
export const bench: Command = defineCommand({
  name: "bench",
  summary: "Measures forward, backward and decode at a few lengths.",
  details:
    "Medians of calls on resident operands; with --workers or --coexecute, which share calls of host " +
    "tensors, on those of the host. GFLOP/s count the two products of the forward pass " +
    "and the five of the backward pass over visible pairs. The peak is that of multiply-adds in " +
    "WebAssembly, measured in the same run. Nothing else should be running.",
  examples: [
    { what: "all figures, about 10 s", args: "bench" },
    { what: "one length, quickly, as data", args: "bench --lengths 512 --seconds 0.05 --json" },
    { what: "one thread, causal", args: "bench --threads 1 --causal --lengths 1024" },
  ],
  flags,
  run: benchmark,
});
