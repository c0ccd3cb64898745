/** Calls over host tensors that are split over nodes, against the oracle. `deno task test:cluster`. */

import assert from "node:assert/strict";
import { attention, attentionBackward, type HostTensor } from "@flashtile/attention";
import { type Split, UnsupportedError } from "@flashtile/attention/cluster";
import { type Case, caseName, defineCase } from "../case.ts";
import { grid, smallCases } from "../grid.ts";
import { featureSections } from "../grid_features.ts";
import { bothPasses, checkCase } from "../run_grid.ts";
import { clusterTest, startCluster } from "./processes.ts";
import { splitSession, splitTakes } from "./session.ts";

const SPLITS: readonly Split[] = ["contiguous", "zigzag", "heads"];

/** Every option in some form, on lengths that split into parts of several tiles. */
const cases: readonly Case[] = [
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 70, lengthK: 150, causal: true }),
  defineCase({
    queryHeads: 4,
    kvHeads: 2,
    lengthQ: 70,
    causal: { offset: [-3] },
    window: { left: 20, right: 4 },
  }),
  defineCase({
    batch: 2,
    queryHeads: 2,
    lengthQ: 40,
    lengthK: 90,
    window: { left: 9 },
    layout: "bhsd",
  }),
  defineCase({ batch: 2, queryHeads: 2, lengthQ: 40, window: { right: 5 }, keyLengths: [40, 11] }),
  defineCase({
    queryHeads: 3,
    lengthQ: 33,
    causal: true,
    alibiSlopes: "h",
    softcap: 2,
    dLse: true,
  }),
  defineCase({
    batch: 2,
    queryHeads: 4,
    kvHeads: 2,
    lengthQ: 21,
    bias: "bhqk",
    sink: true,
    causal: true,
  }),
  defineCase(
    { queryHeads: 2, lengthQ: 21, bias: "q1", mask: { axes: "k", pattern: "random" } } as Partial<
      Case
    >,
  ),
  defineCase({ queryHeads: 2, lengthQ: 40, dtype: "f16", causal: true, softmaxScale: 0.2 }),
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 3, lengthK: 5 }),
];

clusterTest("passes over four nodes give what the oracle gives", async (t) => {
  await using started = await startCluster(4, { deadline: 60_000 });
  const rest = smallCases([...grid, ...featureSections]).flatMap(({ cases }) => cases);
  const every = Math.ceil(rest.length / 24);
  for (const split of SPLITS) {
    const session = splitSession(started, split),
      sessions = new Map([[`4 nodes, ${split}`, session]]);
    const some = [...cases, ...rest.filter((_, n) => n % every === SPLITS.indexOf(split))];
    for (const c of some.filter((c) => splitTakes(c, split))) {
      await t.step(`${split}: ${caseName(c)}`, async () => {
        await checkCase(bothPasses, c, sessions, "tests/cluster/passes.ts");
      });
    }
  }
  const status = await started.cluster.status();
  assert.deepEqual(status.map(({ jobs, jobBytes }) => [jobs, jobBytes]), Array(4).fill([0, 0]));
});

const wave = (seed: number, ...shape: number[]): HostTensor => ({
  data: Float32Array.from(
    { length: shape.reduce((a, b) => a * b) },
    (_, i) => Math.sin(seed + 1.3 * i),
  ),
  shape,
});

function assertNear(got: HostTensor, want: HostTensor, name: string): void {
  assert.deepEqual(got.shape, want.shape, name);
  for (let i = 0; i < want.data.length; i++) {
    const x = got.data[i]!, y = want.data[i]!;
    assert.ok(x === y || Math.abs(x - y) < 1e-5, `${name}[${i}] is ${x} but ${y} was wanted`);
  }
}

clusterTest(
  "packed sequences and rotary positions are those of one engine, and a dead node's part moves",
  async () => {
    await using started = await startCluster(3, { deadline: 30_000, grace: 300 });
    const { cluster, nodes } = started;
    const starts = Int32Array.of(0, 17, 17, 60, 100);
    const [q, k, v] = [wave(1, 100, 4, 16), wave(2, 100, 2, 16), wave(3, 100, 2, 16)];
    const packed = { cuSeqlensQ: starts, cuSeqlensK: starts, causal: true };
    const plain = [wave(4, 2, 50, 4, 16), wave(5, 2, 60, 2, 16), wave(6, 2, 60, 2, 16)] as const;
    const positions = Int32Array.from({ length: 60 }, (_, n) => 3 * n);
    for (
      const [tensors, options] of [
        [[q, k, v], packed],
        [[q, k, v], { ...packed, keyLengths: [9, 0, 43, 20], window: { left: 12 } }],
        [[q, k, v], { ...packed, rotary: { base: 500, dims: 8 } }],
        [plain, { causal: true, rotary: { interleaved: true } }],
        [plain, { rotary: { positionsK: positions }, keyLengths: [60, 31] }],
      ] as const
    ) {
      for (const split of SPLITS) {
        const [q, k, v] = tensors,
          { timing, ...got } = await cluster.attention(q, k, v, { ...options, split });
        const want = await attention(q, k, v, options);
        assertNear(got.out, want.out, `out, ${split}`);
        assertNear(got.lse, want.lse, `lse, ${split}`);
        assert.ok(timing.parts.length > 0);
        const saved = { q, k, v, ...want }, dOut = q;
        const gradients = await cluster.attentionBackward(dOut, saved, { ...options, split });
        const wanted = await attentionBackward(dOut, saved, options);
        for (const name of ["dq", "dk", "dv"] as const) {
          assertNear(gradients[name], wanted[name], `${name}, ${split}`);
        }
      }
    }
    const first = await cluster.attentionBackward(q, {
      q,
      k,
      v,
      ...await attention(q, k, v, packed),
    }, packed);
    const again = await cluster.attentionBackward(q, {
      q,
      k,
      v,
      ...await attention(q, k, v, packed),
    }, packed);
    assert.deepEqual(again.dq.data, first.dq.data, "the order of the sum is fixed");
    const narrow = await cluster.attention(q, k, v, { ...packed, wire: "bf16" });
    const exact = await attention(q, k, v, packed);
    const error = Array.from(narrow.out.data).reduce(
      (most, x, i) => Math.max(most, Math.abs(x - exact.out.data[i]!)),
      0,
    );
    assert.ok(error > 0 && error < 0.05, `${error}`);
    // a node less, without having asked who is there
    nodes.get("n1")!.kill("SIGKILL");
    assertNear((await cluster.attention(q, k, v, packed)).out, exact.out, "out after a node died");
  },
);

clusterTest("a signal hears how far the parts of a long call have come", async () => {
  await using started = await startCluster(2);
  const { cluster } = started, q = wave(1, 1, 4000, 4, 64);
  const hear = (shares: number[]) => ({
    throwIfAborted: () => {},
    progress: (share: number) => void shares.push(share),
  });
  for (const split of ["zigzag", "heads"] as const) {
    const shares: number[] = [], options = { causal: true, split } as const;
    const { out, lse } = await cluster.attention(q, q, q, { ...options, signal: hear(shares) });
    const saved = { q, k: q, v: q, out, lse }, back: number[] = [];
    await cluster.attentionBackward(q, saved, { ...options, signal: hear(back) });
    for (const heard of [shares, back]) {
      assert.equal(heard.at(-1), 1);
      assert.ok(heard.every((share, n) => n === 0 || share > heard[n - 1]!), `${heard}`);
    }
    // backward takes long enough for nodes to say more than that a part is done
    assert.ok(back.some((share) => share < 1 && share !== 0.5), `${back}`);
  }
  const throws = {
    throwIfAborted: () => {},
    progress: () => {
      throw new Error("enough of this");
    },
  };
  await assert.rejects(cluster.attention(q, q, q, { signal: throws }), /enough of this/);
  assert.equal((await cluster.attention(q, q, q)).out.data.length, q.data.length);
});

clusterTest("what a split cannot mean is refused by name", async () => {
  await using started = await startCluster(1);
  const { cluster } = started, q = wave(1, 1, 8, 2, 16);
  for (
    const options of [
      { dropout: { probability: 0.5, seed: 1 } },
      { stats: ["entropy"] as const },
      { alibiSlopes: { data: new Float32Array(2), shape: [2] } },
      { into: {} },
      { precision: "f16" as const },
    ]
  ) {
    const [name] = Object.keys(options);
    const refused = (error: unknown) =>
      error instanceof UnsupportedError && error.message.startsWith(name!);
    await assert.rejects(cluster.attention(q, q, q, options), refused);
  }
  await assert.rejects(
    cluster.attention(q, q, wave(1, 1, 7, 2, 16)),
    /^RangeError: Cannot run attention/,
  );
  await assert.rejects(cluster.attention(q, q, q, { split: "x" as Split }), /split is "x"/);
  // a deadline that has passed, and an abort
  const aborted = AbortSignal.abort(new Error("enough"));
  await assert.rejects(cluster.attention(q, q, q, { signal: aborted }), /enough/);
});
