/**
 * What is compared with what: the sections of the comparison and their cells.
 * @module
 */

import { type Case, caseNamed } from "../cases.ts";
import type { Job, Task } from "./job.ts";

/** Jobs that are run against each other. */
export interface Cell {
  readonly case: Case;
  readonly task: Task;
  readonly threads: number;
  readonly jobs: readonly Job[];
  /** Only the memory is wanted: one call each, however long it takes. */
  readonly once?: boolean;
}

export interface Section {
  readonly name: SectionName;
  readonly title: string;
  readonly cells: readonly Cell[];
}

export const SECTION_NAMES = [
  "forward",
  "causal",
  "threads",
  "backward",
  "decode",
  "memory",
] as const;
export type SectionName = typeof SECTION_NAMES[number];

const OURS = "flashtile";
const WEB = ["onnxruntime-web/std", "onnxruntime-web/mha", "onnxruntime-web/att23"];
const NATIVE = "onnxruntime-node/mha";
const WASM = [...WEB, "tfjs-wasm/heads", "jax-js/wasm"];

/** Sections for a full run, or the smallest cells of each for a quick look. */
export function planSections(quick: boolean): Section[] {
  return [
    {
      name: "forward",
      title: "Forward, one thread, copies included",
      cells: forwardCells("forward", quick),
    },
    {
      name: "causal",
      title: "Causal forward, one thread, copies included (half the operations counted)",
      cells: forwardCells("causal", quick),
    },
    { name: "threads", title: "Two threads, copies included", cells: threadCells(quick) },
    {
      name: "backward",
      title: "Gradients of attention, one thread, copies included",
      cells: backwardCells(quick),
    },
    {
      name: "decode",
      title: "Decode: one query against a cache of keys",
      cells: decodeCells(quick),
    },
    { name: "memory", title: "Peak memory growth", cells: memoryCells(quick) },
  ];
}

function forwardCells(task: "forward" | "causal", quick: boolean): Cell[] {
  const all = task === "forward"
    ? ["s128", "s512", "s1024", "s1024d32", "s1024d128", "s2048", "s4096", "s16384"]
    : ["s128", "s512", "s1024", "s2048", "s4096", "s16384"];
  const native = task === "causal" ? [NATIVE, "onnxruntime-node/att23"] : [NATIVE];
  return (quick ? all.slice(0, 2) : all).map((name) =>
    cell(name, task, 1, [OURS, ...fitting(name, WASM), ...native])
  );
}

function threadCells(quick: boolean): Cell[] {
  const names = quick ? ["s1024"] : ["s512", "s1024", "s2048", "s4096", "s16384"];
  return names.flatMap((name) =>
    (["forward", "causal"] as const).map((task) => {
      const two = cell(name, task, 2, [OURS, ...fitting(name, [...WEB, "jax-js/wasm"]), NATIVE]);
      // Our single thread runs in the same cell: scaling needs both from the same minute.
      return { ...two, jobs: [...two.jobs, { ...two.jobs[0], threads: 1 }] };
    })
  );
}

function backwardCells(quick: boolean): Cell[] {
  const names = quick ? ["s128"] : ["s512", "s1024", "s2048"];
  const tasks: Task[] = quick ? ["step"] : ["step", "causal-step"];
  return names.flatMap((name) =>
    tasks.map((task) => {
      const peers = ["tfjs-wasm/heads", "tfjs-wasm/grads", "jax-js/wasm"];
      const steps = cell(name, task, 1, [OURS, ...peers]);
      const single = (contender: string, task: Task): Job => ({
        ...steps.jobs[0],
        contender,
        task,
      });
      // The forward alone, so that it can be taken off a step that cannot be split.
      const forward = task === "step" ? "forward" : "causal";
      const backward = task === "step" ? "backward" : "causal-backward";
      const parts = [
        single(OURS, backward),
        single("tfjs-wasm/heads", forward),
        single("jax-js/wasm", forward),
      ];
      return { ...steps, jobs: [...steps.jobs, ...parts] };
    })
  );
}

function decodeCells(quick: boolean): Cell[] {
  const peers = [...WEB, "onnxruntime-node/std", "onnxruntime-node/att23", "jax-js/wasm"];
  const one = [...peers, "tfjs-wasm/batched"];
  const ours = [`${OURS}/resident`, OURS];
  const cells = [
    cell("dec4k", "forward", 1, [...ours, ...one]),
    cell("dec32kgqa", "forward", 1, [...ours, ...one]),
    cell("dec4k", "forward", 2, [...ours, ...peers]),
    cell("dec32kgqa", "forward", 2, [...ours, ...peers]),
  ];
  return quick ? cells.slice(0, 1) : cells;
}

function memoryCells(quick: boolean): Cell[] {
  if (quick) return [{ ...cell("s4096", "forward", 1, [OURS, "onnxruntime-web/std"]), once: true }];
  const few = ["onnxruntime-web/std", "tfjs-wasm/heads", "jax-js/wasm"];
  const once = (name: string, task: Task, jobs: string[]): Cell => ({
    ...cell(name, task, 1, jobs),
    once: true,
  });
  return [
    once("s16384", "forward", [OURS, ...few, NATIVE]),
    once("s16384", "step", [OURS, "tfjs-wasm/heads", "jax-js/wasm"]),
    // Not the native build: it would really take the 16 GiB of a 64K × 64K matrix.
    once("s65536", "forward", [OURS, ...few]),
    once("s65536", "step", [OURS]),
  ];
}

/** Contenders worth starting: from 4096 on the fused operators of onnxruntime-web only fail. */
function fitting(name: string, contenders: readonly string[]): string[] {
  const long = caseNamed(name).lengthK > 4096;
  return contenders.filter((c) => !long || !/web\/(mha|att23)/.test(c));
}

function cell(name: string, task: Task, threads: number, contenders: readonly string[]): Cell {
  const workload = caseNamed(name);
  const jobs = contenders.map((contender) => ({ contender, task, case: workload, threads }));
  return { case: workload, task, threads, jobs };
}
