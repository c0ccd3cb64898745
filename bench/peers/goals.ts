/**
 * The CPU goals of the project that compare us with other libraries, computed from the
 * cells that ran.
 * @module
 */

import type { GoalRow } from "../goals.ts";
import type { Entry } from "./cell.ts";
import type { Cell } from "./plan.ts";
import type { Task } from "./job.ts";
import type { FreshStart } from "./fresh.ts";

export interface CellResult {
  readonly cell: Cell;
  readonly entries: readonly Entry[];
}

const WEB = /^onnxruntime-web\//;
const WASM = /^(onnxruntime-web|tfjs-wasm|jax-js)\//;
const SQUARE64 = ["s512", "s1024", "s2048", "s4096"];

export function peerGoals(cells: readonly CellResult[], fresh: readonly FreshStart[]): GoalRow[] {
  /** How many times faster ours is than the fastest of the peers, in each named cell. */
  const against = (
    names: readonly string[],
    task: Task,
    threads: number,
    peers: RegExp,
    ours = "flashtile",
  ) =>
    names.map((name) => {
      const found = find(cells, name, task, threads);
      return { of: name, value: fastest(found, task, peers) / timeOf(found, task, threads, ours) };
    });
  const ratio = { atLeast: true, unit: "×" };
  const resident = "flashtile/resident";
  const scaling = ["s1024", "s2048", "s4096"].map((name) => {
    const found = find(cells, name, "forward", 2);
    const [one, two] = [1, 2].map((n) => timeOf(found, "forward", n, "flashtile"));
    return { of: name, value: one / two };
  });
  return [
    {
      goal: "forward D 64, 1 thread / best onnxruntime-web",
      target: 2.3,
      ...ratio,
      values: against(SQUARE64, "forward", 1, WEB),
    },
    {
      goal: "causal D 64, 1 thread / best onnxruntime-web",
      target: 4.5,
      ...ratio,
      values: against(SQUARE64, "causal", 1, WEB),
    },
    {
      goal: "forward D 128 / best onnxruntime-web",
      target: 2,
      ...ratio,
      values: against(["s1024d128"], "forward", 1, WEB),
    },
    {
      goal: "forward D 32 / best onnxruntime-web",
      target: 2.45,
      ...ratio,
      values: against(["s1024d32"], "forward", 1, WEB),
    },
    {
      goal: "forward L 128 / best onnxruntime-web",
      target: 1.9,
      ...ratio,
      values: against(["s128"], "forward", 1, WEB),
    },
    {
      goal: "forward D 64 / best WASM library of any kind",
      target: 1.8,
      ...ratio,
      values: against([...SQUARE64, "s16384"], "forward", 1, WASM),
    },
    {
      goal: "forward, 2 threads / onnxruntime-web on 2",
      target: 2.1,
      ...ratio,
      values: against(["s1024", "s2048", "s4096"], "forward", 2, WEB),
    },
    { goal: "own scaling on 2 threads", target: 1.93, ...ratio, values: scaling },
    {
      goal: "causal / native onnxruntime-node MultiHeadAttention",
      target: 1.2,
      ...ratio,
      values: against([...SQUARE64, "s16384"], "causal", 1, /^onnxruntime-node\/mha/),
    },
    {
      goal: "backward / best gradients of tfjs-wasm or jax-js, forward taken off",
      target: 5,
      ...ratio,
      values: gradientRatios(cells),
    },
    {
      goal: "forward with gradients / best of tfjs-wasm or jax-js (information)",
      target: 5,
      ...ratio,
      values: ["s512", "s1024", "s2048"].flatMap((name) =>
        against([name], "step", 1, /^(tfjs|jax)/)
      ),
    },
    {
      goal: "decode 4k, resident, 1 thread / best onnxruntime-web",
      target: 7,
      ...ratio,
      values: against(["dec4k"], "forward", 1, WEB, resident),
    },
    {
      goal: "decode 4k, resident, 1 thread / best onnxruntime-node",
      target: 3,
      ...ratio,
      values: against(["dec4k"], "forward", 1, /^onnxruntime-node/, resident),
    },
    {
      goal: "decode 32k GQA, resident, 1 thread / onnxruntime-web Attention-23",
      target: 9.5,
      ...ratio,
      values: against(["dec32kgqa"], "forward", 1, /web\/att23/, resident),
    },
    {
      goal: "decode 32k GQA, resident, 2 threads / onnxruntime-web Attention-23",
      target: 10.5,
      ...ratio,
      values: against(["dec32kgqa"], "forward", 2, /web\/att23/, resident),
    },
    {
      goal: "wasm memory at 64K tokens, forward and gradients",
      target: 128,
      atLeast: false,
      unit: " MiB",
      values: memoryValues(cells, "s65536"),
    },
    {
      goal: "first result in a fresh process beyond an empty one",
      target: 15,
      atLeast: false,
      unit: " ms",
      values: fresh.filter((f) => f.contender === "flashtile")
        .map((f) => ({ of: "s128", value: f.beyondEmptyMs })),
    },
  ];
}

function find(
  cells: readonly CellResult[],
  name: string,
  task: Task,
  threads: number,
): readonly Entry[] {
  const found = cells.find(({ cell }) =>
    cell.case.name === name && cell.task === task && cell.threads === threads && !cell.once
  );
  return found?.entries ?? [];
}

/** Milliseconds of one contender, or NaN when it did not run. */
export function timeOf(
  entries: readonly Entry[],
  task: Task,
  threads: number,
  contender: string,
): number {
  const found = entries.find(({ job }) =>
    job.contender === contender && job.task === task && job.threads === threads
  );
  return found?.timing?.medianMs ?? NaN;
}

/** The shortest time among the contenders that match; NaN when none ran. */
export function fastest(entries: readonly Entry[], task: Task, peers: RegExp): number {
  const times = entries
    .filter(({ job, timing }) => timing && job.task === task && peers.test(job.contender))
    .map(({ timing }) => timing?.medianMs ?? NaN);
  return times.length ? Math.min(...times) : NaN;
}

/** A peer's step less its forward, over our backward: what the gradients alone cost. */
function gradientRatios(cells: readonly CellResult[]): { of: string; value: number }[] {
  const kinds = [["step", "forward", "backward"], [
    "causal-step",
    "causal",
    "causal-backward",
  ]] as const;
  return ["s512", "s1024", "s2048"].flatMap((name) =>
    kinds.map(([step, forward, backward]) => {
      const entries = find(cells, name, step, 1);
      const peers = ["tfjs-wasm/", "jax-js/"].map((p) =>
        fastest(entries, step, new RegExp("^" + p)) -
        fastest(entries, forward, new RegExp("^" + p))
      ).filter((ms) => !Number.isNaN(ms));
      const ours = timeOf(entries, backward, 1, "flashtile");
      const value = peers.length ? Math.min(...peers) / ours : NaN;
      return { of: step === "step" ? name : `${name} causal`, value };
    })
  );
}

/** What our engine says it holds, after the call that needed most. */
function memoryValues(
  cells: readonly CellResult[],
  name: string,
): { of: string; value: number }[] {
  return cells.filter(({ cell }) => cell.once && cell.case.name === name).map((c) => ({
    of: c.cell.task,
    value: (c.entries.find((e) => e.job.contender === "flashtile")?.own?.total ?? NaN) / 2 ** 20,
  }));
}
