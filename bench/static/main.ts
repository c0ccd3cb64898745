/**
 * `deno task bench:static`: what the open compilers of AMD and NVIDIA make of today's kernels, without a GPU: registers,
 * spills, occupancy, code and what fills the issue slots, beside what is stored. See bench/README.md.
 * @module
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Row, storedRows } from "../measure/store.ts";
import { printTable } from "../measure/table.ts";
import { figuresOf } from "./figures.ts";
import { ABSENT, analyzerOf, COMPILERS, findKit, run } from "./kit.ts";

const KIND = "gpu-static";

/** What makes two rows the same kernel; older lines name neither call nor precision. */
const nameOf = (row: Row): string =>
  [
    ...[row["gpu"], row["kernel"], row["headDim"], row["call"] ?? "plain"],
    row["precision"] ?? (row["state"] === "f16" ? "f16" : "f32"),
    row["kernel"] === "decode" ? row["stored"] : "",
  ].join(" ");

/** The last stored row of each kernel. */
function lastRows(): Map<string, Row> {
  return new Map(storedRows(KIND).map(({ row }) => [nameOf(row), row]));
}

/** A figure beside that of the last line: `now (before)` where they differ. */
function beside(now: Row, before: Row | undefined, field: string, digits = 0): string {
  const text = (value: Row[string] | undefined) =>
    typeof value === "number" ? value.toFixed(digits) : "–";
  const a = text(now[field]), b = before && text(before[field]);
  return b === undefined || a === b ? a : `${a} (${b})`;
}

function print(gpu: string, rows: readonly Row[], before: ReadonlyMap<string, Row>): void {
  const head = [
    "kernel",
    "tile",
    "registers",
    "spills",
    "warps",
    "code B",
    "slots",
    "share",
    "of bytes",
  ];
  const lines = rows.map((row) => {
    const was = before.get(nameOf(row)),
      figure = (field: string, digits?: number) => beside(row, was, field, digits);
    const decode = row["kernel"] === "decode" ? `, ${row["stored"]}` : "";
    return [
      `${row["kernel"]} D ${row["headDim"]} ${row["precision"]}, ${row["call"]}${decode}`,
      String(row["tile"] ?? "–"),
      ...[figure("registers"), figure("spills"), figure("warps", 1), figure("codeBytes")],
      ...[figure("slots"), figure("share", 2), figure("ofBytes", 2)],
    ];
  });
  printTable(`${gpu}: ${COMPILERS[gpu]}, in brackets the last line that is stored`, head, lines);
  const spilling = rows.filter(({ spills }) => Number(spills) > 0);
  for (const row of spilling) console.log(`spills ${row["spills"]}: ${nameOf(row)}`);
}

const { values } = parseArgs({
  options: {
    kit: { type: "string" },
    gpus: { type: "string", default: "gh100,navi31,navi21" },
    store: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) {
  console.log("deno task bench:static [--kit=DIR] [--gpus=gh100,navi31,navi21] [--store]");
  process.exit(0);
}
const kit = findKit(values.kit ?? process.env["FLASHTILE_STATIC"]);
if (!kit) {
  console.error(ABSENT);
  process.exit(1);
}
const gpus = values.gpus.split(","), unknown = gpus.filter((gpu) => !(gpu in COMPILERS));
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(" and no ")}: ${Object.keys(COMPILERS).join(", ")}`);
  process.exit(1);
}
const dir = mkdtempSync(`${tmpdir()}/static-`),
  before = lastRows(),
  analyzer = await analyzerOf(kit);
try {
  const dump = fileURLToPath(new URL("dump.ts", import.meta.url));
  await run(kit, `dumping ${dir} "${process.execPath}" run -A --no-check "${dump}" ${dir}`);
  const date = new Date().toISOString().slice(0, 10);
  for (const gpu of gpus) {
    await run(kit, `{ compiling ${dir} ${gpu}; true; }`);
    const compiled = `${dir}/${gpu}`, about = { gpu, compiler: COMPILERS[gpu]!, date };
    const rows = analyzer.load(compiled).map((one) => figuresOf(one, compiled, analyzer, about));
    print(gpu, rows, before);
    if (!values.store) continue;
    const file = new URL(`../results/${KIND}.jsonl`, import.meta.url);
    appendFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
} finally {
  rmSync(dir, { recursive: true });
}
