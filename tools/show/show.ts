// Prints how a call would run, or the text of a register tile (`deno task show`). Nothing is computed
// and no tensor is made, so the longest sequences cost nothing.
import { readFileSync } from "node:fs";
import type { DType } from "../../src/tensor/dtype.ts";
import type { Causal, Layout, Window } from "../../src/problem/call_options.ts";
import type { AttentionOptions } from "../../src/options.ts";
import type { OperandName } from "../../src/tensor/operands.ts";
import type { OperandSpec } from "../../src/tensor/view.ts";
import { type Plan, planAttention, type PlannedRegion } from "../../src/plan/wasm/plan.ts";
import type { WorkItem } from "../../src/plan/wasm/work_items.ts";
import {
  type AttentionProblem,
  describeBackward,
  describeForward,
} from "../../src/problem/problem.ts";
import type { WasmTarget } from "../../src/plan/target.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { GPUS, showGpuPlan, showKernels } from "./show_gpu.ts";
import { WasmBackend } from "../../src/wasm/backend.ts";
import { detectSimd } from "../../src/wasm/module/module.ts";

const USAGE = `Shows how a call would run, or a register tile of the kernels.

  deno task show forward  q=SHAPE k=SHAPE [v=SHAPE] [OPTION...]
  deno task show backward q=SHAPE k=SHAPE [v=SHAPE] [OPTION...]
  deno task show gpu  forward|backward ...  how a GPU would run it (the word software: lavapipe)
  deno task show wgsl forward|backward ...  the text of its kernels
  deno task show tile [NAME]             the tiles there are, or the text of one

SHAPE is 1x1024x8x64: batch, length, heads, dim (with the word bhsd: batch, heads, length, dim).

  threads=2                              default 1
  bhsd                                   layout; default bshd
  dtype=f16                              storage: f32, f16 or bf16; kdtype=, vdtype= for k and v alone
  resident                               tensors lie in engine memory already
  causal  causal=top-left  causal=5  causal=5,-3      bottom-right, top-left, offset, one for each batch
  window=64,0  window=64,  window=,8     keys left and right of the diagonal
  keyLengths=100,37                      one for each batch
  bias=8x1024x1024  mask=1024x1024       shapes that broadcast
  alibiSlopes=8  alibiSlopes=2x8  sink=8 a number for each head
  softcap=30  scale=0.125

  deno task show forward q=1x1024x8x64 k=1x1024x2x64 causal threads=2
  deno task show tile gemm_s_6x8`;

/** What was asked for cannot be shown; the message says why. */
export class UsageError extends Error {}

/** A tensor without values: planning looks at shapes only. */
class Outline implements Tensor {
  readonly disposed = false;
  constructor(readonly shape: readonly number[], readonly dtype: DType) {}
  read(): Promise<never> {
    return Promise.reject(new TypeError("Cannot read an outline"));
  }
  write(): never {
    throw new TypeError("Cannot write an outline");
  }
  dispose(): void {}
  [Symbol.dispose](): void {}
}

function integers(text: string, separator: string): number[] {
  const numbers = text.split(separator).map(Number);
  if (text === "" || !numbers.every(Number.isSafeInteger)) {
    throw new UsageError(`${text} is no list of integers separated by "${separator}"`);
  }
  return numbers;
}

function causalOf(text: string): Causal {
  if (text === "" || text === "bottom-right") return "bottom-right";
  if (text === "top-left") return "top-left";
  const offsets = integers(text, ",");
  return { offset: offsets.length === 1 ? offsets[0]! : Int32Array.from(offsets) };
}

function windowOf(text: string): Window {
  const [left = "", right = ""] = text.split(",");
  return {
    ...(left ? { left: integers(left, ",")[0] } : {}),
    ...(right ? { right: integers(right, ",")[0] } : {}),
  };
}

/** The problem that words such as `forward q=1x9x2x8 k=1x9x2x8 causal threads=2` describe. */
export function parseProblem(words: readonly string[]): {
  problem: AttentionProblem;
  threads: number;
} {
  const [pass, ...rest] = words;
  if (pass !== "forward" && pass !== "backward") {
    throw new UsageError(`${pass ?? "nothing"} is not one of forward, backward, gpu, wgsl, tile`);
  }
  const given = new Map(rest.map((word) => {
    const at = word.indexOf("=");
    return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
  }));
  const take = (name: string): string | undefined => {
    const value = given.get(name);
    given.delete(name);
    return value;
  };
  const shape = (name: string): number[] | undefined => {
    const text = take(name);
    return text === undefined ? undefined : integers(text, "x");
  };
  const q = shape("q"), k = shape("k"), v = shape("v") ?? k;
  if (!q || !k || !v) throw new UsageError("q and k need a shape, as in q=1x1024x8x64");
  const layout: Layout = take("bhsd") === undefined ? "bshd" : "bhsd";
  const dtype = (take("dtype") ?? "f32") as DType;
  const outline = (size: readonly number[], type: DType = dtype) => new Outline(size, type);
  const number = (name: string) => {
    const text = take(name);
    return text === undefined ? undefined : Number(text);
  };
  const causal = take("causal"), window = take("window"), keyLengths = take("keyLengths");
  const bias = shape("bias"), mask = shape("mask");
  const slopes = shape("alibiSlopes"), sink = shape("sink");
  const options: AttentionOptions = {
    layout,
    softcap: number("softcap"),
    softmaxScale: number("scale"),
    causal: causal === undefined ? undefined : causalOf(causal),
    window: window === undefined ? undefined : windowOf(window),
    keyLengths: keyLengths === undefined ? undefined : Int32Array.from(integers(keyLengths, ",")),
    bias: bias && outline(bias, "f32"),
    alibiSlopes: slopes && outline(slopes, "f32"),
    sink: sink && outline(sink, "f32"),
    mask: mask && { data: new Uint8Array(mask.reduce((a, b) => a * b, 1)), shape: mask },
  };
  const [key, value] = [
    outline(k, (take("kdtype") ?? dtype) as DType),
    outline(v, (take("vdtype") ?? dtype) as DType),
  ];
  const resident = take("resident") !== undefined, threads = number("threads") ?? 1;
  const [unknown] = given.keys();
  if (unknown !== undefined) throw new UsageError(`${unknown} is not known`);
  if (!(Number.isSafeInteger(threads) && threads >= 1)) {
    throw new UsageError("threads must be an integer from 1");
  }
  const query = outline(q), [head, row] = layout === "bshd" ? [2, 1] : [1, 2];
  const out = outline([...q.slice(0, 3), v[3]!]);
  const lse = outline([q[0]!, q[head]!, q[row]!], "f32");
  const { problem } = pass === "forward"
    ? describeForward(query, key, value, options)
    : describeBackward(out, { q: query, k: key, v: value, out, lse }, options);
  if (resident) return { problem, threads };
  const operands: { [name in OperandName]?: OperandSpec } = {};
  for (const [name, spec] of Object.entries(problem.operands)) {
    operands[name as OperandName] = { ...spec, resident: false };
  }
  return { problem: { ...problem, operands }, threads };
}

/** A CPU target, as planning sees one. */
export function wasmTarget(threads: number): WasmTarget {
  return {
    backend: "wasm",
    threads,
    relaxedSimd: true,
    vectorBits: 128,
    dots: "three instructions",
    shared: threads > 1,
  };
}

/** Columns padded to the width of their widest cell. */
function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths = rows[0]!.map((_, n) => Math.max(...rows.map((row) => `${row[n]}`.length)));
  return rows
    .map((row) => `  ${row.map((cell, n) => `${cell}`.padEnd(widths[n]!)).join("  ")}`.trimEnd())
    .join("\n");
}

/** 12.3 M: three digits and a power of 1000. */
function short(n: number): string {
  const units = ["", " k", " M", " G", " T", " P"];
  let at = 0;
  for (; n >= 999.5 && at < units.length - 1; at++) n /= 1000;
  return `${Number(n.toPrecision(3))}${units[at]}`;
}

const range = (begin: number, end: number): string => `${begin}..${end}`;

function itemRow(item: WorkItem): (string | number)[] {
  return [
    item.batch,
    item.head,
    range(item.rowBegin, item.rowEnd),
    range(item.keyBegin, item.keyEnd),
    item.slot < 0 ? "final" : item.slot,
    short(item.pairs),
  ];
}

function regionRow(region: PlannedRegion, index: number): (string | number)[] {
  const flags = [region.accumulate && "accumulate", region.last && "last"].filter(Boolean);
  return [
    index,
    range(region.batchBegin, region.batchEnd),
    range(region.kvHeadBegin, region.kvHeadEnd),
    range(region.rowBegin, region.rowEnd),
    ...[0, 1].map((n) => region.steps[n]?.items.length ?? 0),
    flags.join(" "),
  ];
}

/** The first rows of a table, and how many there are beyond. */
function head<T>(
  all: readonly T[],
  most: number,
  cells: (row: T, index: number) => (string | number)[],
  title: readonly string[],
): string {
  const text = table([title, ...all.slice(0, most).map(cells)]);
  return all.length > most ? `${text}\n  … and ${all.length - most} more` : text;
}

/** A problem and its plan, to be read. */
export function showPlan(problem: AttentionProblem, plan: Plan): string {
  const backend = new WasmBackend({
    level: detectSimd(),
    shared: false,
    threads: 1,
    memoryBudget: 2 ** 32,
  });
  const { pass, batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim } = problem;
  const { kernel, tile, splits, threads, regions, cost } = plan;
  const items = regions.reduce((sum, { steps }) => sum + steps[0]!.items.length, 0);
  const share = cost.pairs === 0 ? 0 : Math.round(100 * cost.visiblePairs / cost.pairs);
  const scratch = Math.ceil(backend.scratchBytes(problem, plan) / 1024);
  const facts = [
    ["problem", `${pass}, batch ${batch}, ${queryHeads} query heads on ${kvHeads} kv heads`],
    ["", `${lengthQ} queries, ${lengthK} keys, headDim ${headDim}, valueDim ${valueDim}`],
    ["features", problem.features.map(({ name }) => name).join(", ") || "none"],
    [
      "kernel",
      `${kernel}, tiles of ${tile.rows} rows and ${tile.keys} keys, ${scratch} KiB scratch`,
    ],
    ["threads", `${threads}`],
    ["KV splits", `${splits}`],
    [
      "cost",
      `${short(cost.flops)}FLOP, ${short(cost.bytes)}B, ${short(cost.visiblePairs)} of ${
        short(cost.pairs)
      } pairs (${share} %)`,
    ],
    ["work", `${items} items in ${regions.length} regions`],
  ];
  const lines = [table(facts)];
  if (regions.length > 0) {
    const titles = ["region", "batch", "kv heads", "rows", "items", "combine", "flags"];
    lines.push("", "regions", head(regions, 6, regionRow, titles));
    const heads = kernel === "forward" ? "query head" : "kv head";
    lines.push(
      "",
      "items of region 0, longest first",
      head(regions[0]!.steps[0]!.items, 8, itemRow, [
        "batch",
        heads,
        "rows",
        "keys",
        "slot",
        "pairs",
      ]),
    );
  }
  return lines.join("\n");
}

/** The text of a register tile, or the names of all. */
function showTile(name: string | undefined): string {
  const text = readFileSync(new URL("../../asm/micro/tiles.gen.ts", import.meta.url), "utf8");
  const functions = text.split(/^(?=export function )/m).slice(1);
  const named = new Map(functions.map((body) => [body.match(/^export function (\w+)/)![1], body]));
  const names = [...named.keys()].join(" ");
  if (name === undefined) return `Tiles: ${names}`;
  const body = named.get(name);
  if (body === undefined) throw new UsageError(`there is no tile ${name}, only ${names}`);
  return body.trimEnd();
}

/** What a command line shows. */
export function show(words: readonly string[]): string {
  if (words.length === 0 || words.includes("--help") || words.includes("-h")) return USAGE;
  if (words[0] === "tile") return showTile(words[1]);
  if (words[0] === "gpu" || words[0] === "wgsl") {
    const rest = words.slice(1).filter((word) => word !== "software");
    const target = GPUS[rest.length < words.length - 1 ? "software" : "hardware"];
    const { problem } = parseProblem(rest);
    return words[0] === "gpu" ? showGpuPlan(problem, target) : showKernels(problem, target);
  }
  const { problem, threads } = parseProblem(words);
  return showPlan(problem, planAttention(problem, wasmTarget(threads)));
}

if (import.meta.main) {
  try {
    console.log(show(Deno.args));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    Deno.exit(2);
  }
}
