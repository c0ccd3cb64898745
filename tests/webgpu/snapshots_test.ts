/**
 * The text of each kernel for a small variant, so that a change of text is seen where it is reviewed. After a change
 * that is meant: deno test -A tests/webgpu/snapshots_test.ts -- --update
 */

import assert from "node:assert/strict";
import { learningProgramOf, programOf } from "../../shaders/expression/program.ts";
import { pairFeatures } from "../../shaders/features/table.ts";
import { FIELDS, PARAMS, PARAMS_BYTES } from "../../shaders/features/params.ts";
import { classifyShader } from "../../shaders/kernels/classify.ts";
import { decodeShader } from "../../shaders/kernels/decode.ts";
import { deltaShader } from "../../shaders/kernels/delta.ts";
import { dkvShader } from "../../shaders/kernels/dkv.ts";
import { dqShader } from "../../shaders/kernels/dq.ts";
import {
  addShader,
  componentShader,
  copyShader,
  narrowShader,
} from "../../shaders/kernels/elementwise.ts";
import { forwardShader } from "../../shaders/kernels/forward.ts";
import { columnSumsShader, rowStatsShader, scoresShader } from "../../shaders/kernels/inside.ts";
import { capturedSumShader, slotSumShader } from "../../shaders/kernels/captured_sum.ts";
import {
  maxSimKeyGradientShader,
  maxSimQueryGradientShader,
  maxSimShader,
} from "../../shaders/kernels/max_sim.ts";
import { combineSplitsShader, mergeIntoShader } from "../../shaders/kernels/merge.ts";
import { pairSumShader } from "../../shaders/kernels/pair_sum.ts";
import { repairShader } from "../../shaders/kernels/repair.ts";
import { rotateShader } from "../../shaders/kernels/rotate.ts";
import { rowStateShader } from "../../shaders/kernels/row_state.ts";
import { rowSumShader } from "../../shaders/kernels/row_sum.ts";
import { sortKeysShader, topKeysShader } from "../../shaders/kernels/top_keys.ts";
import { type StorageKind, VECTORS } from "../../shaders/parts/storage.ts";
import type { Variant } from "../../shaders/parts/variant.ts";
import { tracedOf } from "../../src/expression/traced.ts";
import { maskMods, scoreMods } from "../mods.ts";
import { storeShader } from "../../shaders/kernels/store.ts";

const scalars: StorageKind = { dtype: "f32", scalar: true };

const plain: Variant = {
  tile: { nx: 2, ny: 2, tm: 4, tn: 4, chunk: 8, depth: 4, unroll: 2 },
  headChunks: 1,
  valueChunks: 1,
  blockChunks: 1,
  kinds: { q: VECTORS, k: VECTORS, v: VECTORS, dOut: VECTORS },
  grouped: true,
  features: new Map(),
  statistics: false,
};
const halves = { nx: 4, ny: 8, tm: 4, tn: 8, chunk: 32, depth: 32, unroll: 2, halves: true };
const full: Variant = {
  ...plain,
  features: new Map([
    ["softcap", ""],
    ["alibiSlopes", ""],
    ["bias", "f32s"],
    ["mask", ""],
    ["sink", ""],
    ["dropout", ""],
  ]),
};
const bytes: StorageKind = { dtype: "i8", scalar: false, paged: "shift" };
const cached: Variant = {
  ...plain,
  kinds: { q: VECTORS, k: bytes, v: { ...bytes, paged: "divide" } },
};
const counted: Variant = { ...plain, statistics: true };
const slopes: Variant = { ...plain, features: new Map([["alibiSlopes", ""]]) };
const pairs: Variant = { ...full, grouped: false, features: pairFeatures(full.features) };
const functions: Variant = {
  ...plain,
  features: new Map([
    ["scoreMod", programOf(tracedOf(scoreMods.sine, "scoreMod")!)],
    ["maskMod", programOf(tracedOf(maskMods.documents, "maskMod")!)],
  ]),
};
const learned: Variant = {
  ...plain,
  features: new Map([["scoreMod", learningProgramOf(tracedOf(scoreMods.bent, "scoreMod")!)!]]),
};
const repair: Variant = { ...full, kinds: { q: scalars, k: scalars, v: scalars, dOut: scalars } };
const rows = { dOut: VECTORS, out: VECTORS };
const given = { withDLse: false, withDEntropy: false, withPowers: false };
const shape = { rows: 2, head4: 2, value4: 2, threads: 8, keys: 2, turns: 1 };
const out = { scalarOut: false };
const all = { batch: false, head: false, row: false, column: false };

const texts: Readonly<Record<string, string>> = {
  params: PARAMS,
  forward: forwardShader(plain, out),
  forward_halves: forwardShader({ ...plain, tile: halves }, out),
  forward_features: forwardShader(full, out),
  forward_statistics: forwardShader(counted, out),
  captured_sum: capturedSumShader(learned),
  slot_sum: slotSumShader(),
  forward_functions: forwardShader(functions, out),
  forward_cache: forwardShader(cached, out),
  decode_cache: decodeShader(cached, shape, out),
  repair_out_cache: repairShader("out", cached),
  store_bytes: storeShader(scalars, "i8"),
  store_f16: storeShader(VECTORS, "f16"),
  decode: decodeShader(full, shape, out),
  decode_statistics: decodeShader(counted, shape, out),
  combine_splits: combineSplitsShader(false, false),
  combine_splits_statistics: combineSplitsShader(false, true),
  merge_into: mergeIntoShader(VECTORS, false, { kept: true, statistics: false }),
  merge_into_statistics: mergeIntoShader(VECTORS, false, { kept: false, statistics: true }),
  delta: deltaShader({ ...rows, ...given, withDLse: true, features: new Map() }),
  delta_entropy: deltaShader({
    ...{ ...rows, ...given, withDEntropy: true, features: new Map([["sink", ""]]) },
  }),
  delta_halves: deltaShader({ ...rows, ...given, withPowers: true, features: new Map() }),
  row_state: rowStateShader(full),
  dq: dqShader(full, out),
  dq_entropy: dqShader(counted, out),
  dq_halves: dqShader({ ...plain, tile: halves }, out),
  dkv_halves: dkvShader({ ...plain, tile: halves }, "kv", out),
  dkv: dkvShader(plain, "kv", out),
  dkv_entropy: dkvShader(counted, "kv", out),
  dkv_features: dkvShader(full, "k", out),
  dkv_functions: dkvShader(functions, "kv", out),
  pair_sum: pairSumShader(full, "bias", all),
  pair_sum_rows: pairSumShader(slopes, "alibiSlopes", { ...all, column: true }),
  row_sum: rowSumShader(plain, "sink", true),
  repair_out: repairShader("out", repair),
  repair_dq: repairShader("dq", repair),
  repair_out_statistics: repairShader("out", { ...counted, kinds: repair.kinds }),
  narrow_f16: narrowShader("f16"),
  add: addShader(),
  component: componentShader(),
  copy: copyShader(),
  rotate: rotateShader({
    ...{ target: "dq", source: { dtype: "f16", scalar: true } },
    ...{ interleaved: false, inverse: false },
  }),
  rotate_back: rotateShader({
    ...{ target: "dk", source: undefined, interleaved: true, inverse: true },
  }),
  classify_rows: classifyShader("mask", "rows are queries"),
  classify_keys: classifyShader("mask", "rows are keys"),
  scores: scoresShader(plain, false),
  probabilities: scoresShader(pairs, true),
  row_stats: rowStatsShader(),
  column_sums: columnSumsShader(plain),
  top_keys: topKeysShader(pairs),
  sort_keys: sortKeysShader(),
  max_sim: maxSimShader({ tile: plain.tile, headChunks: 1, q: VECTORS, k: VECTORS }),
  max_sim_dk: maxSimKeyGradientShader(VECTORS),
  max_sim_dq: maxSimQueryGradientShader({ dtype: "f16", scalar: true }),
};

Deno.test("the fields of the uniform block fit", () => {
  assert.ok(FIELDS.size * 4 <= PARAMS_BYTES, `${FIELDS.size} words`);
});

const fileOf = (name: string) => new URL(`snapshots/${name}.wgsl`, import.meta.url);

for (const [name, text] of Object.entries(texts)) {
  Deno.test(`the text of ${name} is the one that was reviewed`, () => {
    const code = name === "params" ? `${text}\n` : text.replace(PARAMS, "// see params.wgsl");
    if (Deno.args.includes("--update")) Deno.writeTextFileSync(fileOf(name), code);
    assert.equal(code, Deno.readTextFileSync(fileOf(name)));
  });
}
