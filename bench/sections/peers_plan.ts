/**
 * What is compared with what: the sections of the comparison and their cells.
 * @module
 */

import { type Case, tagged } from "../cases.ts";
import type { Job, Task } from "../process/job.ts";

export const TITLES = {
  forward: "Forward, one thread, copies included",
  causal: "Causal forward, one thread, copies included (half the operations counted)",
  threads: "Two threads, copies included",
  backward: "Gradients of attention, one thread, copies included",
  decode: "Decode: one query against a cache of keys",
  memory: "Peak memory growth",
} as const;
export type PeerSection = keyof typeof TITLES;

/** Jobs of a cell, which run against each other: a task, threads, and who does it. */
type Group = readonly [task: Task, threads: number, contenders: readonly string[]];

const OURS = "flashtile", TFJS = "tfjs-wasm/heads", JAX = "jax-js/wasm";
const WEB = ["onnxruntime-web/std", "onnxruntime-web/mha", "onnxruntime-web/att23"];
const NATIVE = "onnxruntime-node/mha";
const CACHED = ["onnxruntime-node/std", "onnxruntime-node/att23", JAX];

const CELLS: Readonly<Record<PeerSection, readonly (readonly Group[])[]>> = {
  forward: [[["forward", 1, [OURS, ...WEB, TFJS, JAX, NATIVE]]]],
  causal: [[["causal", 1, [OURS, ...WEB, TFJS, JAX, NATIVE, "onnxruntime-node/att23"]]]],
  // Our single thread runs in the same cell: scaling needs both from the same minute.
  threads: (["forward", "causal"] as const)
    .map((task) => [[task, 2, [OURS, ...WEB, JAX, NATIVE]], [task, 1, [OURS]]]),
  // The forward alone, so that it can be taken off a step that cannot be split.
  backward: [
    [
      ["step", 1, [OURS, TFJS, "tfjs-wasm/grads", JAX]],
      ["backward", 1, [OURS]],
      ["forward", 1, [TFJS, JAX]],
    ],
    [
      ["causal-step", 1, [OURS, TFJS, "tfjs-wasm/grads", JAX]],
      ["causal-backward", 1, [OURS]],
      ["causal", 1, [TFJS, JAX]],
    ],
  ],
  decode: [
    [["forward", 1, [`${OURS}/resident`, OURS, ...WEB, ...CACHED, "tfjs-wasm/batched"]]],
    [["forward", 2, [`${OURS}/resident`, OURS, ...WEB, ...CACHED]]],
  ],
  memory: [[["forward", 1, [OURS, WEB[0], TFJS, JAX, NATIVE]]], [["step", 1, [OURS, TFJS, JAX]]]],
};

/** The cells of a section; for a quick look the first of its smallest cases. */
export function planCells(section: PeerSection, quick: boolean, modules: string): Job[][] {
  return tagged(`peers ${section}`, quick).flatMap((c) =>
    CELLS[section].slice(0, quick ? 1 : undefined).map((groups) =>
      groups.flatMap(([task, threads, contenders]) =>
        contenders.filter((contender) => fits(contender, task, c)).map((contender) => {
          return { contender, backend: "wasm", task, case: c, threads, modules } as const;
        })
      )
    )
  );
}

/** Whether a contender is worth starting. */
function fits(contender: string, task: Task, c: Case): boolean {
  // From 4096 on the fused operators of onnxruntime-web only fail.
  if (c.lengthQ > 4096 && /web\/(mha|att23)/.test(contender)) return false;
  // The native build would really take the 16 GiB of a 64K × 64K matrix.
  return c.lengthQ <= 16384 || contender === OURS || (task === "forward" && contender !== NATIVE);
}
