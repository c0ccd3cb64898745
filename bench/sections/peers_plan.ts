/**
 * What is compared with what: the sections of the comparison and their cells.
 * @module
 */

import { type Case, tagged } from "../cases.ts";
import type { Job, Task } from "../process/job.ts";

/** Jobs that are run against each other. */
export interface Cell {
  readonly case: Case;
  readonly task: Task;
  readonly threads: number;
  readonly jobs: readonly Job[];
  /** Only the memory is wanted: one call each, however long it takes. */
  readonly once?: boolean;
}

export const TITLES = {
  forward: "Forward, one thread, copies included",
  causal: "Causal forward, one thread, copies included (half the operations counted)",
  threads: "Two threads, copies included",
  backward: "Gradients of attention, one thread, copies included",
  decode: "Decode: one query against a cache of keys",
  memory: "Peak memory growth",
} as const;
export type PeerSection = keyof typeof TITLES;

const OURS = "flashtile";
const WEB = ["onnxruntime-web/std", "onnxruntime-web/mha", "onnxruntime-web/att23"];
const NATIVE = "onnxruntime-node/mha";
const WASM = [...WEB, "tfjs-wasm/heads", "jax-js/wasm"];

/** The cells of a section, or the smallest of them for a quick look. */
export function planCells(section: PeerSection, quick: boolean, modules: string): Cell[] {
  const cell = (c: Case, task: Task, threads: number, contenders: readonly string[]): Cell => {
    const common = { backend: "wasm", task, case: c, threads, modules } as const;
    return {
      case: c,
      task,
      threads,
      jobs: contenders.map((contender) => ({ contender, ...common })),
    };
  };
  return tagged(`peers ${section}`, quick).flatMap((c) => CELLS[section](c, quick, cell));
}

type MakeCell = (c: Case, task: Task, threads: number, contenders: readonly string[]) => Cell;
type Plan = (c: Case, quick: boolean, cell: MakeCell) => Cell[];

const CELLS: Readonly<Record<PeerSection, Plan>> = {
  forward: (c, _, cell) => [cell(c, "forward", 1, [OURS, ...fitting(c, WASM), NATIVE])],
  causal: (c, _, cell) => {
    const native = [NATIVE, "onnxruntime-node/att23"];
    return [cell(c, "causal", 1, [OURS, ...fitting(c, WASM), ...native])];
  },
  threads: (c, _, cell) =>
    (["forward", "causal"] as const).map((task) => {
      const two = cell(c, task, 2, [OURS, ...fitting(c, [...WEB, "jax-js/wasm"]), NATIVE]);
      // Our single thread runs in the same cell: scaling needs both from the same minute.
      return { ...two, jobs: [...two.jobs, { ...two.jobs[0], threads: 1 }] };
    }),
  backward: (c, quick, cell) =>
    (quick ? ["step"] as const : ["step", "causal-step"] as const).map((task) => {
      const steps = cell(c, task, 1, [OURS, "tfjs-wasm/heads", "tfjs-wasm/grads", "jax-js/wasm"]);
      // The forward alone, so that it can be taken off a step that cannot be split.
      const forward = task === "step" ? "forward" : "causal";
      const parts = [
        ...cell(c, task === "step" ? "backward" : "causal-backward", 1, [OURS]).jobs,
        ...cell(c, forward, 1, ["tfjs-wasm/heads", "jax-js/wasm"]).jobs,
      ];
      return { ...steps, jobs: [...steps.jobs, ...parts] };
    }),
  decode: (c, quick, cell) => {
    const peers = [...WEB, "onnxruntime-node/std", "onnxruntime-node/att23", "jax-js/wasm"];
    const ours = [`${OURS}/resident`, OURS];
    const one = cell(c, "forward", 1, [...ours, ...peers, "tfjs-wasm/batched"]);
    return quick ? [one] : [one, cell(c, "forward", 2, [...ours, ...peers])];
  },
  memory: (c, quick, cell) => {
    const once = (task: Task, contenders: readonly string[]) => {
      return { ...cell(c, task, 1, contenders), once: true };
    };
    const few = ["onnxruntime-web/std", "tfjs-wasm/heads", "jax-js/wasm"];
    if (quick) return [once("forward", [OURS, few[0]])];
    // At 64K neither gradients of the others nor the native build, which would really take the
    // 16 GiB of the matrix.
    const long = c.lengthK > 16384;
    return [
      once("forward", [OURS, ...few, ...(long ? [] : [NATIVE])]),
      once("step", [OURS, ...(long ? [] : few.slice(1))]),
    ];
  },
};

/** Contenders worth starting: from 4096 on the fused operators of onnxruntime-web only fail. */
function fitting(c: Case, contenders: readonly string[]): string[] {
  return contenders.filter((name) => c.lengthK <= 4096 || !/web\/(mha|att23)/.test(name));
}
