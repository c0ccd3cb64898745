// One part of a call over host tensors: what its job was sent, computed run by run, and kept to be fetched.
import type { Engine } from "../../engine/engine.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { mergeParts } from "../merge.ts";
import { partOptions } from "../options/parts.ts";
import { RefusedError } from "../wire/errors.ts";
import type { Head } from "../wire/message.ts";
import { toFloats, toWire } from "../wire/narrow.ts";
import type { PartHead, RunHead } from "../wire/requests.ts";
import type { TensorInfo } from "../wire/transfer.ts";
import type { Grow, Job } from "./jobs.ts";
import type { SignalOf } from "./tell_progress.ts";

type Named = Readonly<Record<string, HostTensor | undefined>>;
type Floats = HostTensor<Float32Array>;

function operandsOf(job: Job, operands: RunHead["operands"]): Record<string, HostTensor> {
  return Object.fromEntries(
    Object.entries(operands).map(([name, key]) => {
      const tensor = job.tensor(key);
      if (!tensor) throw new RefusedError("missing", `Cannot run the part: ${name} was not sent`);
      return [name, tensor];
    }),
  );
}

/** Operands of queries in float32, so that parts of sums are not rounded before they are added. */
function queriesOf({ q, dOut, out }: Named) {
  return { q: toFloats(q!), ...dOut && { dOut: toFloats(dOut), out: toFloats(out!) } };
}

async function forward(
  engine: Engine,
  job: Job,
  { runs }: PartHead,
  signalOf: SignalOf,
): Promise<Record<string, HostTensor>> {
  const results: { out: HostTensor; lse: HostTensor<Float32Array> }[] = [];
  for (const [n, { options, operands }] of runs.entries()) {
    const named = operandsOf(job, operands), { q } = queriesOf(named);
    const { out, lse } = await engine.attention(
      q,
      named["k"]!,
      named["v"]!,
      { ...partOptions(options, named), signal: signalOf(n) },
    );
    results.push({ out, lse });
  }
  const layout = runs[0]!.options["layout"] as "bshd" | "bhsd";
  return { ...results.length === 1 ? results[0]! : mergeParts(engine, results, layout) };
}

/** Adds to a sum, in the order of the runs. */
function add(sums: Map<string, Floats>, name: string, part: Floats): void {
  const sum = sums.get(name);
  if (!sum) sums.set(name, part);
  else for (let i = 0; i < part.data.length; i++) sum.data[i]! += part.data[i]!;
}

async function backward(
  engine: Engine,
  job: Job,
  { runs }: PartHead,
  signalOf: SignalOf,
): Promise<Record<string, HostTensor>> {
  const sums = new Map<string, Floats>(), placed: Record<string, HostTensor> = {};
  for (const [n, { options, operands, places }] of runs.entries()) {
    const named = operandsOf(job, operands), { q, dOut, out } = queriesOf(named);
    const { k, v, lse, dLse } = named;
    const gradients = await engine.attentionBackward(
      dOut!,
      { q, k: k!, v: v!, out: out!, lse: lse! },
      { ...partOptions(options, named), ...dLse && { dLse }, signal: signalOf(n) },
    );
    for (const [name, tensor] of Object.entries(gradients as unknown as Named)) {
      if (!tensor || !places[name]) continue;
      if (places[name] === "sum") add(sums, name, toFloats(tensor));
      else placed[`${name}.${n}`] = tensor;
    }
  }
  return { ...placed, ...Object.fromEntries(sums) };
}

/** Runs a part; resolves to what there is to fetch, and how long it took. */
export async function runPart(
  engine: Engine,
  job: Job,
  head: PartHead,
  signalOf: SignalOf,
  grow: Grow,
): Promise<Head> {
  const begin = performance.now(), sent = job.names;
  const results = await (head.pass === "forward" ? forward : backward)(engine, job, head, signalOf);
  const ms = performance.now() - begin, tensors: Record<string, TensorInfo> = {};
  job.check(); // what is kept now would stay
  job.forget(sent);
  for (const [name, tensor] of Object.entries(results)) {
    tensors[name] = job.keep(name, name === "lse" ? tensor : toWire(tensor, head.wire), grow);
  }
  return { tensors, ms };
}
