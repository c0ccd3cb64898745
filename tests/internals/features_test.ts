/** The feature table is complete: each feature has its option, reference, cases and row in the documentation. */

import assert from "node:assert/strict";
import { createBlockMask, masks, scoreMod } from "../../mod.ts";
import { FEATURES, parseFeatures } from "../../src/problem/features/table.ts";
import { Complaint } from "../../src/tensor/errors.ts";
import type { AttentionOptions } from "../../src/options.ts";
import type { FeatureName } from "../../src/problem/features/feature.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string) => Deno.readTextFileSync(new URL(path, root));
const names = FEATURES.map(({ name }) => name);

/** The files of a folder of tests whose names begin so, as one text. */
function testFiles(prefix: string): string {
  return [...Deno.readDirSync(new URL("tests/", root))]
    .filter(({ name }) => name.startsWith(prefix) && name.endsWith(".ts"))
    .map(({ name }) => read(`tests/${name}`)).join("\n");
}

/** Packed sequences are cases of their own, laid one behind the other: their meaning and their tests are apart. */
const isPacking = (name: string) => name.startsWith("cuSeqlens");

/** Sequences of a cache are there with it, whatever the options: they are tested with caches. */
const isCached = (name: string) => name === "sequences";

/** One way to turn each feature on. */
const samples: Readonly<Record<FeatureName, AttentionOptions>> = {
  softcap: { softcap: 5 },
  alibiSlopes: { alibiSlopes: { data: new Float32Array(2), shape: [2] } },
  bias: { bias: { data: new Float32Array(1), shape: [1] } },
  mask: { mask: { data: new Uint8Array(1), shape: [1] } },
  scoreMod: { scoreMod: scoreMod(({ score }) => score.neg()) },
  maskMod: { maskMod: masks.causal() },
  blockMask: { blockMask: createBlockMask(masks.causal(), { lengthQ: 4, lengthK: 5 }) },
  cuSeqlensQ: { cuSeqlensQ: [0, 4] },
  cuSeqlensK: { cuSeqlensK: [0, 5] },
  sequences: { sequences: [0] },
  keyLengths: { keyLengths: Int32Array.of(3) },
  causal: { causal: true },
  window: { window: { left: 1 } },
  sink: { sink: { data: new Float32Array(2), shape: [2] } },
  dropout: { dropout: { probability: 0.1, seed: 1 } },
};

const dims = {
  batch: 1,
  queryHeads: 2,
  kvHeads: 1,
  lengthQ: 4,
  lengthK: 5,
  headDim: 8,
  valueDim: 8,
  count: 0,
  captured: 0,
};

Deno.test("features apply in the documented order, each once", () => {
  assert.deepEqual(names, [
    ...["softcap", "alibiSlopes", "bias", "scoreMod", "mask", "maskMod", "blockMask"],
    ...[
      "cuSeqlensQ",
      "cuSeqlensK",
      "sequences",
      "keyLengths",
      "causal",
      "window",
      "sink",
      "dropout",
    ],
  ]);
  const order = ["load", "score", "hide", "state", "probability"];
  const stages = FEATURES.map(({ stage }) => order.indexOf(stage));
  assert.deepEqual(
    stages.toSorted((a, b) => a - b),
    stages,
    "scores change before they are hidden",
  );
});

Deno.test("each feature is on when its option is given, alone, and off by default", () => {
  const parse = (options: AttentionOptions) => {
    const sizes = options.sequences ? { ...dims, cached: [5] } : dims;
    return parseFeatures(options, sizes, new Complaint("attention")).map(({ name }) => name);
  };
  assert.deepEqual(parse({}), []);
  for (const { name, runsAs = name } of FEATURES) {
    assert.deepEqual(parse(samples[name]), [runsAs]);
  }
  const { blockMask: _, ...compatible } = samples; // not beside maskMod
  assert.deepEqual(
    parse(Object.assign({}, ...Object.values(compatible))),
    names.filter((name) => name !== "blockMask"),
  );
});

Deno.test("each feature has a documented entry in CallOptions", () => {
  const options = read("src/problem/call_options.ts").match(
    /interface CallOptions \{([\s\S]*?)\n\}/,
  )![1]!;
  for (const name of names) {
    assert.match(options, new RegExp(`\\*/\\s+readonly ${name}\\?:`), `${name} in call_options.ts`);
  }
});

Deno.test("each feature has its meaning in tests/reference", () => {
  const reference = read("tests/reference/features.ts"), packed = read("tests/packed.ts");
  for (const name of names.filter((name) => !isCached(name))) {
    assert.match(isPacking(name) ? packed : reference, new RegExp(`\\b${name}\\b`), name);
  }
});

Deno.test("each feature has cases in the grid", () => {
  const grid = testFiles("grid"), packed = testFiles("packed"), cached = testFiles("cache");
  for (const name of names) {
    const given = (isPacking(name) ? packed : isCached(name) ? cached : grid).match(
      new RegExp(`\\b${name}\\b\\s*[:,}]`, "g"),
    ) ?? [];
    assert.ok(given.length > 0, `${name} has no case in tests/grid*.ts`);
  }
});

Deno.test("each feature has bad calls that are tested, but for those that accept any tensor", () => {
  const bad = testFiles("bad_calls") + testFiles("packed") + testFiles("cache");
  for (const name of names) assert.match(bad, new RegExp(`\\b${name}\\b`), name);
});

Deno.test("each feature says where it comes from", () => {
  for (const { name, source } of FEATURES) assert.ok(source.length > 10, name);
});

Deno.test("docs/features.md has a row for each feature, in the order of the table", () => {
  const rows = read("docs/features.md").split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => [...line.matchAll(/`(\w+)/g)].map(([, word]) => word))
    .map((words) => names.find((name) => words.includes(name)))
    .filter((name) => name !== undefined);
  assert.deepEqual([...new Set(rows)], names);
});
