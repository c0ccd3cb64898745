// Parts of a call over host tensors on their way to nodes and back. A part whose node fails is computed by another one: its
// tensors are the caller's, so nothing is lost.
import type { HostTensor, MaskTensor } from "../../tensor/tensor.ts";
import type { RunPlan } from "../options/parts.ts";
import { ClusterError } from "../wire/errors.ts";
import { operandToWire } from "../options/operands.ts";
import type { WireType } from "../wire/narrow.ts";
import type { Head } from "../wire/message.ts";
import type { TellHead } from "../wire/requests.ts";
import { fetchTensor, sendTensor, type TensorInfo, windowed } from "../wire/transfer.ts";
import type { Limits } from "./asker.ts";
import { endingOf } from "./ending.ts";
import type { ClusterHome } from "./home.ts";
import type { NodeInfo } from "./nodes.ts";
import { partProgress } from "./part_progress.ts";

/** A part: what one node computes. */
export interface Part {
  readonly runs: readonly RunPlan[];
  /** Tensors that all of its runs read. */
  readonly shared: Readonly<Record<string, HostTensor>>;
}

/** What a part gave. */
export interface PartResult {
  readonly tensors: Readonly<Record<string, HostTensor>>;
  readonly ms: number;
}

/** Names of the tensors of a part in its job, with the values as they travel. */
function* tensorsOf(
  { runs, shared }: Part,
  wire: WireType,
): Generator<[string, HostTensor | MaskTensor]> {
  for (const [name, tensor] of Object.entries(shared)) {
    yield [name, operandToWire(name, tensor, wire)];
  }
  for (const [n, { operands }] of runs.entries()) {
    for (const [name, tensor] of Object.entries(operands)) {
      yield [`${name}.${n}`, operandToWire(name, tensor, wire)];
    }
  }
}

/** The runs of a part as its node is told. */
function runHeads({ runs, shared }: Part): unknown[] {
  return runs.map(({ options, operands, places }, n) => ({
    options,
    operands: {
      ...Object.fromEntries(Object.keys(shared).map((name) => [name, name])),
      ...Object.fromEntries(Object.keys(operands).map((name) => [name, `${name}.${n}`])),
    },
    places,
  }));
}

/** Runs a part on one node. */
async function runOn(
  home: ClusterHome,
  node: NodeInfo,
  part: Part,
  pass: "forward" | "backward",
  wire: WireType,
  limits: Limits,
  name: string,
  tell: TellHead | undefined,
): Promise<PartResult> {
  const ask = home.asker.of(node, limits), most = home.payload();
  const job: Head = { job: name, owner: { client: home.client, lease: home.lease } };
  try {
    for (const [name, tensor] of tensorsOf(part, wire)) {
      await sendTensor(ask, job, name, tensor, most);
    }
    const { head } = await ask("run", { ...job, pass, wire, tell, runs: runHeads(part) });
    const tensors: Record<string, HostTensor> = {};
    for (const [name, info] of Object.entries(head["tensors"] as Record<string, TensorInfo>)) {
      tensors[name] = await fetchTensor(ask, job, name, info, most);
    }
    return { tensors, ms: head["ms"] as number };
  } finally {
    // nobody waits for it, and it is sent though the call may have run out of time: a job would stay as long as the client
    home.asker.of(node, home.asker.shortLimits("drop"))("drop", job).catch(() => {});
  }
}

/** Whether another node may do what this one could not. */
function mayMove(error: unknown, { until }: Limits): boolean {
  if (performance.now() >= until) return false;
  return error instanceof ClusterError || error instanceof RangeError;
}

/** Runs all parts, each on a node of its own where there are as many; results in the order of the parts. */
export async function runParts(
  home: ClusterHome,
  nodes: readonly NodeInfo[],
  parts: readonly Part[],
  pass: "forward" | "backward",
  wire: WireType,
  limits: Limits,
  name: string,
): Promise<PartResult[]> {
  const results: PartResult[] = [], progress = partProgress(home, limits.signal, parts.length);
  const ending = endingOf(limits);
  const run = async ([n, part]: [number, Part]) => {
    const within = { ...ending.limits, shard: n }, tell = progress?.of(n);
    for (let turn = 0;; turn++) {
      const node = nodes[(n + turn) % nodes.length]!, job = `${name}.${n}.${turn}`;
      try {
        results[n] = await runOn(home, node, part, pass, wire, within, job, tell);
        break;
      } catch (error) {
        if (turn + 1 >= nodes.length || !mayMove(error, limits)) throw error;
      }
    }
    progress?.done(n);
  };
  const orEnd = (part: [number, Part]) =>
    run(part).catch((error) => {
      ending.end(); // the others are not waited for any longer than it takes to say so
      throw error;
    });
  try {
    await windowed(parts.entries(), orEnd, parts.length);
    return results;
  } finally {
    progress?.stop();
  }
}
