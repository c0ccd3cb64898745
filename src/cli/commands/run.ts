// `run`: attention on files.
import type { AttentionResult, CallOptions } from "../../problem/call_options.ts";
import type { Engine } from "../../engine/engine.ts";
import { gradientsOf } from "../../tensor/operands.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { type Command, defineCommand, type Report, type ValuesOf } from "../command.ts";
import { UsageError } from "../exit.ts";
import { checkWritable } from "../files/atomic.ts";
import { outputFiles, TENSOR_FILES, tensorAt, writeTensors } from "../files/tensor_file.ts";
import { callFlags, callOptions, TENSOR_EXAMPLE } from "../flags/call.ts";
import { engineFlags, withEngine } from "../flags/engine.ts";
import { withProgress } from "../progress.ts";
import type { Session } from "../session.ts";
import { digits, timeText } from "../text.ts";
import { fileKind, switchFlag, valueFlag } from "../values.ts";

const tensor = fileKind(TENSOR_FILES, "a .npy or .safetensors file");

const flags = {
  q: valueFlag("--q", tensor, "Queries: x.npy, x.safetensors, or x.safetensors:NAME."),
  k: valueFlag("--k", tensor, "Keys."),
  v: valueFlag("--v", tensor, "Values."),
  input: valueFlag(
    "--input",
    fileKind([".safetensors"], "a .safetensors file"),
    "File with q, k, v and dOut, for those that no flag names.",
  ),
  output: valueFlag(
    "--output",
    tensor,
    "Where results go: x.safetensors, or x.npy for x.out.npy, x.lse.npy and so on.",
  ),
  overwrite: switchFlag("--overwrite", "Replace files that are there."),
  backward: switchFlag("--backward", "Gradients too: needs dOut."),
  dOut: valueFlag("--d-out", tensor, "Gradient of the loss with respect to out."),
  dLse: valueFlag("--d-lse", tensor, "The same with respect to lse."),
  dEntropy: valueFlag("--d-entropy", tensor, "The same with respect to the entropy."),
  ...callFlags,
  ...engineFlags,
} as const;

type Values = ValuesOf<typeof flags>;
type Results = Record<string, HostTensor>;

/** An operand by its own flag, or from the common file. */
async function operand(values: Values, name: "q" | "k" | "v" | "dOut"): Promise<HostTensor> {
  const from = values[name] ?? values.input;
  if (from !== undefined) return await tensorAt(from, name);
  const flag = name === "dOut" ? "--d-out" : `--${name}`;
  throw new UsageError(`Cannot use run without ${flag} FILE, or --input FILE.safetensors`);
}

/** The results of a call, as their names. */
function namesOf(values: Values, options: CallOptions): string[] {
  const gradients = gradientsOf({ q: true, k: true, v: true, ...options });
  return ["out", "lse", ...(options.stats ?? []), ...(values.backward ? gradients : [])];
}

/** Throws where flags of the backward pass are given without it. */
function checkBackward(values: Values): void {
  if (values.backward) return;
  const stray = (["dOut", "dLse", "dEntropy"] as const).find((name) => values[name] !== undefined);
  if (!stray) return;
  const flag = { dOut: "--d-out", dLse: "--d-lse", dEntropy: "--d-entropy" }[stray];
  throw new UsageError(`Cannot use ${flag} without --backward`);
}

interface Operands {
  readonly q: HostTensor;
  readonly k: HostTensor;
  readonly v: HostTensor;
  readonly dOut: HostTensor | undefined;
  readonly dLse: HostTensor | undefined;
  readonly dEntropy: HostTensor | undefined;
}

async function readOperands(values: Values): Promise<Operands> {
  const optional = (name: "dLse" | "dEntropy") =>
    values[name] === undefined ? undefined : tensorAt(values[name], name);
  return {
    q: await operand(values, "q"),
    k: await operand(values, "k"),
    v: await operand(values, "v"),
    dOut: values.backward ? await operand(values, "dOut") : undefined,
    ...{ dLse: await optional("dLse"), dEntropy: await optional("dEntropy") },
  };
}

/** Both passes, with a bar for each. */
async function compute(
  engine: Engine,
  { q, k, v, dOut, dLse, dEntropy }: Operands,
  options: CallOptions,
  session: Session,
): Promise<Results> {
  const forward: AttentionResult<HostTensor> = await withProgress(
    session,
    "forward",
    (signal) => engine.attention(q, k, v, { ...options, signal }),
  );
  const { out, lse, stats } = forward, results = { out, lse, ...stats } as Results;
  if (!dOut) return results;
  const gradients = await withProgress(session, "backward", (signal) => {
    const saved = { q, k, v, ...forward };
    return engine.attentionBackward(dOut, saved, { ...options, dLse, dEntropy, signal });
  });
  if ("dCaptured" in gradients) {
    session.stderr(
      "dCaptured is not written: gradients of captured arrays need the library itself\n",
    );
  }
  return { ...results, ...gradients as unknown as Results };
}

async function runOnFiles(values: Values, session: Session): Promise<Report> {
  const { output } = values;
  if (output === undefined) throw new UsageError("Cannot use run without --output FILE");
  checkBackward(values);
  const options = await callOptions(values), files = outputFiles(output, namesOf(values, options));
  for (const path of files.keys()) await checkWritable(path, values.overwrite);
  const operands = await readOperands(values);
  return await withEngine(values, async (engine) => {
    const begin = performance.now();
    const { q, k, v } = operands, { cost } = engine.explain(q, k, v, options);
    const results = await compute(engine, operands, options, session);
    const ms = performance.now() - begin;
    session.signal.throwIfAborted();
    await writeTensors(files, results);
    const shapes = [...files].flatMap(([path, names]) =>
      names.map((name) => ({ file: path, name, shape: results[name]!.shape }))
    );
    const passes = values.backward ? "forward and backward" : "forward";
    const written = shapes.map(({ file, name, shape }) => `${file}: ${name} [${shape.join(", ")}]`);
    const rate = values.backward ? "" : `, ${digits(cost.flops / ms / 1e6)} GFLOP/s`;
    return {
      data: { files: shapes, milliseconds: ms, backend: engine.backend, reason: engine.reason },
      text: [`${passes} in ${timeText(ms)}${rate}: ${engine.reason}`, ...written].join("\n"),
    };
  });
}

/** `run`. */
export const run: Command = defineCommand({
  name: "run",
  summary: "Runs attention on NumPy or safetensors files.",
  details:
    "q, k and v are f32, f16 or bf16; out has the type of q, lse is f32. Results are written " +
    "under a temporary name, flushed and renamed, so a file is there whole or not at all. In Deno " +
    "it needs --allow-read and --allow-write for the folders of its files.",
  examples: [
    {
      what: "forward",
      args: "run --q q.npy --k k.npy --v v.npy --causal bottom-right --output r.npy",
    },
    {
      what: "with gradients, everything in one file",
      args: "run --input x.safetensors --backward --output r.safetensors --overwrite",
    },
    {
      what: "an option that lies in another file, on two threads",
      args: `run --input x.safetensors ${TENSOR_EXAMPLE} --threads 2 --output b.npy`,
    },
  ],
  flags,
  run: runOnFiles,
});
