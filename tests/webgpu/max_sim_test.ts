/** Late interaction in parts on a GPU: more sets than a dispatch has room for, rows that several documents chose, long loops. */

import assert from "node:assert/strict";
import type { HostTensor, SavedForMaxSim } from "../../mod.ts";
import { plainTensor } from "../inputs.ts";
import { forcedEngine, gpuEngine, gpuTest } from "./support.ts";

const DIM = 4;
const tensor = (seed: number, shape: number[]) => plainTensor(seed, shape) as HostTensor;

function near(got: ArrayLike<number>, want: ArrayLike<number>, what: string): void {
  assert.equal(got.length, want.length, what);
  for (let n = 0; n < want.length; n++) {
    const off = got[n] === want[n] ? 0 : Math.abs(got[n]! - want[n]!); // both may be infinite
    assert.ok(off <= 1e-5 * (1 + Math.abs(want[n]!)), `${what}[${n}] is ${got[n]}, not ${want[n]}`);
  }
}

type Engine = Awaited<ReturnType<typeof gpuEngine>>;

/** The call and its gradients on the GPU are those of the CPU. */
async function compare(
  engine: Engine,
  [queries, documents]: readonly [HostTensor, HostTensor],
  starts: readonly number[],
): Promise<void> {
  const options = { cuSeqlens: starts };
  const want = engine.maxSimSync(queries, documents, options);
  const got = await engine.maxSim(queries, documents, options);
  near(got.scores.data, want.scores.data, "scores");
  assert.deepEqual(got.keys.data, want.keys.data);
  const dScores = tensor(3, [...want.scores.shape]),
    saved = { queries, documents, keys: want.keys };
  await compareGradients(engine, dScores, saved);
}

async function compareGradients(engine: Engine, dScores: HostTensor, saved: SavedForMaxSim) {
  const want = engine.maxSimBackwardSync(dScores, saved as SavedForMaxSim<HostTensor, HostTensor>);
  const got = await engine.maxSimBackward(dScores, saved as SavedForMaxSim<HostTensor, HostTensor>);
  near(got.dQueries.data, want.dQueries.data, "dQueries");
  near(got.dDocuments.data, want.dDocuments.data, "dDocuments");
}

gpuTest("more sets of queries than a dispatch, or a binding, has room for", async () => {
  for (const limits of [{ workgroups: 16 }, { storageBinding: 4096 }]) {
    const { engine, watch } = await forcedEngine({ allowFallbackAdapter: true, limits });
    using _ = engine;
    await compare(engine, [tensor(1, [40, 9, DIM]), tensor(2, [90, DIM])], [0, 1, 40, 40, 90]);
    assert.ok(watch.mostWorkgroups <= (limits.workgroups ?? Infinity), `${watch.mostWorkgroups}`);
    assert.ok(
      watch.largestBinding <= (limits.storageBinding ?? Infinity),
      `${watch.largestBinding}`,
    );
  }
});

gpuTest("rows that several documents chose get the share of each of them", async () => {
  using engine = await gpuEngine();
  const documents = 600, tokens = 8, rows = 100;
  const data = Int32Array.from({ length: documents * tokens }, (_, n) => n % 7 === 0 ? -1 : n % 3);
  const keys = { data, shape: [documents, tokens] };
  const saved = { queries: tensor(1, [tokens, DIM]), documents: tensor(2, [rows, DIM]), keys };
  await compareGradients(engine, tensor(3, [documents]), saved);
});

gpuTest("loops that are longer than a software adapter lets them be", async () => {
  using engine = await gpuEngine();
  const many = 23000;
  for (const [tokens, documents] of [[2, many], [many, 2]] as const) {
    const saved = { queries: tensor(1, [tokens, DIM]), documents: tensor(2, [documents, DIM]) };
    const data = Int32Array.from({ length: tokens * documents }, (_, n) => Math.floor(n / tokens));
    const keys = { data, shape: [documents, tokens] };
    await compareGradients(engine, tensor(3, [documents]), { ...saved, keys });
  }
  const [queries, documents] = [tensor(1, [300, DIM]), tensor(2, [40000, DIM])];
  const want = engine.maxSimSync(queries, documents, { cuSeqlens: [0, 40000] });
  const got = await engine.maxSim(queries, documents, { cuSeqlens: [0, 40000] });
  assert.deepEqual(got.keys.data, want.keys.data);
  near(got.scores.data, want.scores.data, "scores");
}, { part: "rest" });
