// `explain`: how a call would run. Nothing is computed.
import type { Explanation } from "../../backend/explanation.ts";
import { type Command, defineCommand } from "../command.ts";
import { callFlags, callOptions } from "../flags/call.ts";
import { engineFlags, withEngine } from "../flags/engine.ts";
import { emptyOperands, sizeFlags, sizesOf } from "../flags/sizes.ts";
import { bytesText, digits, list, timeText } from "../text.ts";

function text(plan: Explanation): string {
  const { backend, reason, adapter, estimates, kernel, tile, threads, workers, splits, steps } =
    plan;
  const { items, regions, cost, blocks, scratchBytes, memoryBytes, matrixBytes } = plan;
  const crew = `${threads} thread${threads === 1 ? "" : "s"}` +
    (workers === undefined ? "" : `, ${workers} workers`);
  const visible = cost.pairs > 0 ? 100 * cost.visiblePairs / cost.pairs : 0;
  const on = Object.entries(estimates ?? {}).filter(([, ms]) => ms !== undefined);
  return list([
    ["backend", `${backend}${adapter ? ` on ${adapter}` : ""}: ${reason}`],
    ...(on.length > 0
      ? [
        [
          "expected",
          on.map(([name, ms]) => `${name} ${timeText(ms as number)}`).join(", "),
        ] as const,
      ]
      : []),
    ["kernel", `${kernel}, tiles of ${tile.rows} queries x ${tile.keys} keys`],
    ["work", `${items} items in ${regions} regions, ${crew}, ${splits} KV splits`],
    ["steps", steps.map(({ kernel, items }) => `${kernel} (${items})`).join(", ")],
    ["pairs", `${cost.visiblePairs} of ${cost.pairs} visible (${digits(visible)} %)`],
    ...(blocks
      ? [
        [
          "blocks",
          `${blocks.empty} empty, ${blocks.partial} partial, ${blocks.full} full of ` +
          `${blocks.blockSize} x ${blocks.blockSize}`,
        ] as const,
      ]
      : []),
    ["cost", `${digits(cost.flops / 1e9)} GFLOP, ${bytesText(cost.bytes)} read and written`],
    ["memory", `${bytesText(memoryBytes)} beyond the tensors, ${bytesText(scratchBytes)} a thread`],
    ["matrix", `${bytesText(matrixBytes)} would be the scores alone`],
  ]);
}

/** `explain`. */
export const explain: Command = defineCommand({
  name: "explain",
  summary: "Says how a call would run: backend, kernel, tiles, work, memory.",
  details:
    "Sizes and options by flags. Nothing is computed and no tensor is made. The pass is the " +
    "forward one.",
  examples: [
    { what: "64K tokens, causal", args: "explain --length 65536 --heads 8 --causal bottom-right" },
    {
      what: "one step of decoding",
      args: "explain --length 1 --keys 4096 --heads 32 --kv-heads 8",
    },
    { what: "what workers would be sent", args: "explain --threads 1 --workers 4 --length 8192" },
    {
      what: "a window, two threads",
      args: "explain --length 8192 --window 512,0 --threads 2 --json",
    },
  ],
  flags: { ...sizeFlags, ...callFlags, ...engineFlags },
  run: async (values) => {
    const options = await callOptions(values);
    const { q, k, v } = emptyOperands(sizesOf(values), options.layout);
    return await withEngine(values, (engine) => {
      const plan = engine.explain(q, k, v, options);
      return Promise.resolve({ data: plan, text: text(plan) });
    });
  },
});
