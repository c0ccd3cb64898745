/** The report of the benches: every chapter from rows of each kind, self-contained, nothing to fetch. */

import assert from "node:assert/strict";
import { storedRows } from "../../bench/measure/store.ts";
import type { Row, StoredRow } from "../../bench/measure/store.ts";
import { CHAPTERS, reportPage } from "../../bench/report/page.ts";
import { byMachine, newest } from "../../bench/report/source.ts";
import { svgFile } from "../../tools/plot/figure.ts";
import { readSvg, readXml } from "../../tools/plot/testing/read_svg.ts";

const cpu = {
  ...{ cpu: "A <fast> & small CPU", cores: 2, deno: "2", v8: "15", asc: "0", os: "linux" },
  ...{ date: "2026-11-20T01:02:03.000Z", command: 'bench/main.ts --only="all" --store' },
};
const gpu = { ...cpu, adapter: "GPU 9", date: "2026-11-21T00:00:00.000Z" };
const on = (machine: StoredRow["machine"], ...rows: Row[]) => rows.map((row) => ({ row, machine }));

const timed = { medianMs: 4, minMs: 4, spread: 0.1, samples: 9 };
const CASES = ["s512", "s1024", "s4096"];
const peer = (section: string, more: Row): Row => ({
  ...{ section, task: section, threads: 1, peakBytes: 1e7, failed: null, ...timed, ...more },
});

const FIXTURE: Readonly<Record<string, readonly StoredRow[]>> = {
  roofline: on(cpu, { threads: 1, gflops: 60, readGBs: 20, copyGBs: 20, expNs: 1 }),
  forward: on(
    cpu,
    { case: "s512", causal: false, threads: 1, kind: "resident", gflops: 1, share: 0.1, ...timed },
    { case: "s512", causal: false, threads: 1, kind: "resident", gflops: 50, share: 0.8, ...timed },
    { case: "s512", causal: false, threads: 1, kind: "host", gflops: 40, share: 0.7, ...timed },
  ),
  backward: on(cpu, { case: "s512", causal: true, threads: 1, gflops: 45, share: 0.7, ...timed }),
  decode: on(cpu, { case: "dec4k", threads: 1, kind: "resident", gbs: 15, share: 0.7, ...timed }),
  peers: on(
    cpu,
    ...CASES.flatMap((name, n) => [
      peer("forward", { case: name, contender: "flashtile", medianMs: 5 }),
      peer("forward", { case: name, contender: "onnxruntime-web/std", medianMs: 10 }),
      peer("forward", { case: name, contender: "onnxruntime-web/mha", medianMs: 8 }),
      n < 2
        ? peer("forward", { case: name, contender: "jax-js/wasm", medianMs: 20 })
        : peer("forward", { case: name, contender: "jax-js/wasm", medianMs: null, failed: "no" }),
    ]),
    peer("memory", { case: "s16384", task: "forward", contender: "flashtile" }),
    peer("memory", { case: "s16384", task: "forward", contender: "jax-js/wasm", failed: "no" }),
  ),
  density: on(
    cpu,
    ...["forward", "backward"].flatMap((pass) => [
      { case: "s4096", pass, pattern: "band ±9", density: 0.5, overProportional: 1.1, ...timed },
      { case: "s4096", pass, pattern: "band ±3", density: 0.1, overProportional: 1.2, ...timed },
    ]),
  ),
  threads: on(
    cpu,
    ...CASES.flatMap((name) => [
      { case: name, pass: "forward", threads: 1, gain: 1, ...timed },
      { case: name, pass: "forward", threads: 2, gain: 1.9, ...timed },
    ]),
  ),
  memory: on(
    cpu,
    { case: "s4096", pass: "forward", wasmBytes: 4e6 },
    { case: "s16384", pass: "forward", wasmBytes: 1e7 },
  ),
  linformer: on(
    cpu,
    ...[512, 1024].flatMap((length) => [
      { case: `${length}`, length, contender: "exact", gain: 1, ...timed },
      { case: `${length}`, length, contender: "linformer", gain: length / 600, ...timed },
    ]),
  ),
  "linformer-error": on(
    cpu,
    { length: 512, layer: 0, approximation: "Linformer, random", error: 2.5, errorSeen: 2 },
    { length: 512, layer: 0, approximation: "near blocks, 4 a row", error: 0.1, errorSeen: 0.1 },
  ),
  "gpu-facts": on(gpu, { fmaGflops: 6e4, readGBs: 4e3 }),
  "gpu-forward": on(
    gpu,
    ...[1024, 4096].map((length) => ({
      ...{ case: `1x8x${length}x64`, causal: false, dtype: "f32", contender: "flashtile" },
      ...{ gflops: 2e4, failed: null, ...timed },
    })),
  ),
};
const source = (kind: string): readonly StoredRow[] => FIXTURE[kind] ?? [];

Deno.test("every chapter has its plots, its tables and where they come from", () => {
  const page = reportPage(source, "today"), found = readXml(page);
  const count = (name: string) => found.filter((element) => element.name === name).length;
  const exhibits = CHAPTERS.flatMap((chapter) => chapter.exhibits(source));
  for (const { id, title } of CHAPTERS) {
    assert.ok(found.some(({ name, attributes }) => name === "section" && attributes.id === id), id);
    assert.ok(found.some(({ name, text }) => name === "h2" && text === title), title);
  }
  assert.ok(!page.includes("Not measured"));
  assert.equal(exhibits.length, 2 + 2 + 1 + 1 + 1 + 2);
  for (const name of ["figure", "svg", "table", "desc"]) assert.equal(count(name), exhibits.length);
  const origin = '2026-11-20, bench/main.ts --only="all" --store, Deno 2';
  assert.ok(found.some(({ name, text }) => name === "li" && text === origin));
  assert.ok(found.some(({ text }) => text === "A <fast> & small CPU, 2 cores"));
});

Deno.test("the page runs no script and fetches nothing", () => {
  const page = reportPage(source, "today"), found = readXml(page);
  assert.deepEqual(
    found.filter(({ name }) => ["script", "link", "iframe", "img"].includes(name)),
    [],
  );
  const outside = page.replaceAll('xmlns="http://www.w3.org/2000/svg"', "")
    .replaceAll('xmlns="http://www.w3.org/1999/xhtml"', "");
  assert.doesNotMatch(outside, /https?:|url\(|@import|\bsrc=/);
  for (const { attributes } of found) {
    if (attributes.href) assert.match(attributes.href, /^#/);
    assert.deepEqual(Object.keys(attributes).filter((name) => /^on/.test(name)), []);
  }
});

Deno.test("figures hold what was measured, and no number that is none", () => {
  for (const { id, exhibits } of CHAPTERS) {
    for (const { name, figure, table, head } of exhibits(source)) {
      const found = readSvg(svgFile(figure));
      assert.ok(found.some((element) => element.name === "title" && element.text !== ""), name);
      assert.ok(
        table.length > 0 && table.every((row) => row.length === head.length),
        `${id} ${name}`,
      );
      assert.doesNotMatch(JSON.stringify(table), /NaN|undefined|Infinity/);
    }
  }
});

Deno.test("speed: the best graph of a library counts, a failure is one, the rest is a mark", () => {
  const [forward] = CHAPTERS.find(({ id }) => id === "speed")!.exhibits(source);
  const found = readSvg(forward!.figure.markup);
  const marks = found.filter(({ name, text }) => name === "path" && /length \d+: /.test(text));
  assert.equal(marks.length, 3 + 3 + 2);
  assert.ok(
    marks.some(({ text }) => text.startsWith("onnxruntime-web, best graph, length 512: 8 ms")),
  );
  assert.deepEqual(forward!.table.at(-1), ["s4096", "4096", "5 ms", "8 ms (1.60)", "fails"]);
});

Deno.test("roofline: the newest row of a case, on tensors of the engine alone", () => {
  const [first] = CHAPTERS.find(({ id }) => id === "roofline")!.exhibits(source);
  const of = first!.table.filter(([, pass]) => pass === "forward");
  assert.deepEqual(of.map((row) => row[3]), ["50"]);
  // 12 heads × 512: 4 · L² · D operations, four tensors of L · D floats: L / 4 a byte
  assert.equal(of[0]![2], "128");
  assert.equal(of[0]![4], "83 %");
});

Deno.test("machines are told apart, the latest first, and software adapters left out", () => {
  const later = { ...cpu, cores: 8, date: "2027-01-01T00:00:00.000Z" };
  const rows = [
    ...on(cpu, { n: 1 }, { n: 2 }),
    ...on(later, { n: 3 }),
    ...on({ ...gpu, software: true }, { n: 4 }),
  ];
  assert.deepEqual(byMachine(rows).map(({ rows }) => rows.length), [1, 2]);
  const last = newest(on(cpu, { a: 1, b: 1 }, { a: 2, b: 1 }, { a: 1, b: 2 }), ["a"]);
  assert.deepEqual(last.map(({ row }) => row), [{ a: 1, b: 2 }, { a: 2, b: 1 }]);
});

Deno.test("where nothing was measured, the page says what would", () => {
  const page = reportPage(() => [], "today");
  readXml(page);
  for (const { command } of CHAPTERS) {
    assert.ok(page.includes(`Not measured: <code>${command}</code>`));
  }
});

Deno.test("the stored results make every chapter", () => {
  for (const { id, exhibits } of CHAPTERS) assert.ok(exhibits(storedRows).length > 0, id);
  readXml(reportPage(storedRows, "today"));
});
