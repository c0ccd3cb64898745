/** The option `verify` of backward calls: right gradients are found right, whatever the call has; a wrong one is found and named. */

import assert from "node:assert/strict";
import {
  type AttentionGradients,
  createEngine,
  type Engine,
  type GradientVerification,
  type HostTensor,
  type Tensor,
  VerificationError,
} from "../mod.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { onEngines } from "./engines.ts";
import { grid } from "./grid.ts";
import { type Inputs, makeInputs, plainTensor } from "./inputs.ts";
import { type PackedCase, packedInputs } from "./packed.ts";
import { withFault } from "./verify_faults.ts";

/** Calls on the CPU: some of each section of the grid, so that each option and storage type is among them. */
const cases: readonly Case[] = grid.flatMap(({ cases }) =>
  cases.filter(({ lengthQ, lengthK }) => lengthQ * lengthK < 20_000).filter((_, n) => n % 12 === 0)
);
/** A few of them on a GPU, where each compiles. */
const onGpu: readonly Case[] = [
  defineCase({ lengthQ: 33, lengthK: 21, headDim: 12, valueDim: 20, softcap: 3, causal: true }),
  defineCase({
    batch: 2,
    queryHeads: 4,
    kvHeads: 2,
    lengthQ: 17,
    lengthK: 40,
    sink: true,
    dLse: true,
  }),
];

type Call = Pick<Inputs, "q" | "k" | "v" | "dOut" | "dLse" | "dEntropy" | "options">;

/** Gradients of what the engine's own forward call saved. */
async function gradients(
  engine: Engine,
  { q, k, v, dOut, dLse, dEntropy, options }: Call,
  verify: { rows: number; bound?: number; seed?: number },
): Promise<AttentionGradients & { verified: GradientVerification }> {
  const { out, lse, stats } = await engine.attention(q, k, v, options);
  const more = { ...dLse && { dLse }, ...dEntropy && { dEntropy } };
  const saved = { q, k, v, out, lse, stats };
  const found = await engine.attentionBackward(dOut, saved, { ...options, ...more, verify });
  return found as AttentionGradients & { verified: GradientVerification };
}

onEngines("right gradients verify, with every option", async (engine) => {
  for (const c of engine.backend === "wasm" ? cases : onGpu) {
    const result = await gradients(engine, makeInputs(c), { rows: 5, seed: 3 }).catch((error) => {
      throw new Error(caseName(c), { cause: error });
    });
    const { error, rows, checked, unchecked } = result.verified;
    assert.ok(error <= 8, `${caseName(c)}: ${error}`); // half of what is allowed
    const { batch, queryHeads, kvHeads, lengthQ, lengthK } = c;
    const queries = Math.min(5, batch * queryHeads * lengthQ);
    const keys = Math.min(5, batch * kvHeads * lengthK);
    assert.deepEqual(checked, { dq: queries, dk: keys, dv: keys });
    assert.equal(rows, queries + 2 * keys);
    const others = ["dBias", "dAlibiSlopes", "dSink", "dCaptured"] as const;
    assert.deepEqual(unchecked, others.filter((name) => result[name] !== undefined));
  }
}, "rest");

Deno.test("gradients of packed calls verify, on queries, on keys and on both", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const fields: PackedCase["fields"] = {
    ...{ queryHeads: 4, kvHeads: 2, headDim: 12, softcap: 3, dLse: true },
    ...{ causal: true, rotary: { positions: "each" } },
  };
  const sides = [[true, true], [true, false], [false, true]] as const;
  for (const [queries, keys] of sides) {
    const lengths = queries && keys
      ? [[5, 9], [0, 4], [17, 33]] as const
      : queries
      ? [[5, 9], [0, 9], [17, 9]] as const
      : [[7, 9], [7, 0], [7, 33]] as const;
    const c: PackedCase = { name: "packed", lengths, fields, queries, keys };
    const { verified } = await gradients(engine, packedInputs(c).inputs, { rows: Infinity });
    const all = (side: 0 | 1) => lengths.reduce((sum, pair) => sum + pair[side], 0);
    assert.deepEqual(verified.checked, { dq: 4 * all(0), dk: 2 * all(1), dv: 2 * all(1) });
    assert.ok(verified.error > 0 && verified.error <= 8, `${verified.error}`);
  }
});

onEngines("gradients of resident tensors verify, and are left alone", async (engine) => {
  const shape = [2, 9, 2, 8];
  const [q, k, v, dOut] = [1, 2, 3, 4].map((seed) => engine.tensor(plainTensor(seed, shape))) as [
    ...[Tensor, Tensor, Tensor, Tensor],
  ];
  const { out, lse } = await engine.attention(q, k, v, { causal: true });
  const { dq, dk, dv, verified } = await engine.attentionBackward(
    dOut,
    { q, k, v, out, lse },
    { causal: true, verify: "sample" },
  );
  assert.equal(verified!.rows, 48);
  assert.equal((await dk.read()).length, 2 * 9 * 2 * 8);
  for (const tensor of [q, k, v, dOut, out, lse, dq, dk, dv]) tensor.dispose();
});

/** lse and out may be of more keys than the call has: what is right is said by what it was given. */
Deno.test("gradients of a part of the keys verify against the lse of all", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const [q, k, v, dOut] = [1, 2, 3, 4].map((seed) => plainTensor(seed, [1, 12, 2, 8])) as [
    ...[HostTensor, HostTensor, HostTensor, HostTensor],
  ];
  const { out, lse } = await engine.attention(q, k, v);
  const half = ({ data }: HostTensor): HostTensor => {
    return { data: (data as Float32Array).subarray(0, 6 * 16), shape: [1, 6, 2, 8] };
  };
  const saved = { q, k: half(k), v: half(v), out, lse };
  const { verified } = await engine.attentionBackward(dOut, saved, { verify: { rows: Infinity } });
  assert.ok(verified!.error > 0 && verified!.error <= 8, `${verified!.error}`);
});

Deno.test("gradients of rows with a large lse verify", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const c = makeInputs(defineCase({ lengthQ: 9, lengthK: 13, headDim: 8 }));
  const bias = { data: new Float32Array(9 * 13).fill(-1e6), shape: [9, 13] };
  const options = { ...c.options, bias };
  const { verified } = await gradients(engine, { ...c, options }, { rows: Infinity });
  assert.ok(verified.error <= 8, `${verified.error}`);
});

Deno.test("gradients of weights of nearly nothing verify, where kernels have 0", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const fields = {
    queryHeads: 8,
    kvHeads: 1,
    lengthQ: 1,
    lengthK: 3000,
    headDim: 128,
    valueDim: 130,
  };
  const far = makeInputs(defineCase({ ...fields, scoreMod: "bent" }));
  const { verified } = await gradients(engine, far, { rows: 100 });
  assert.ok(verified.error <= 8, `${verified.error}`);
});

onEngines("a wrong element of each gradient is found, and named", async (engine) => {
  const [q, k, v, dOut] = [1, 2, 3, 4].map((seed) => plainTensor(seed, [1, 9, 4, 8])) as [
    ...[HostTensor, HostTensor, HostTensor, HostTensor],
  ];
  const keys = ({ data }: HostTensor): HostTensor => {
    return { data: (data as Float32Array).subarray(0, 7 * 2 * 8), shape: [1, 7, 2, 8] };
  };
  const { out, lse } = await engine.attention(q, keys(k), keys(v));
  const saved = { q, k: keys(k), v: keys(v), out, lse };
  const call = (verify: { rows: number; bound?: number }) =>
    engine.attentionBackward(dOut, saved, { verify });
  const places = {
    dq: { at: (3 * 4 + 2) * 8 + 5, where: "head 2, query 3", head: 2 },
    dk: { at: (3 * 2 + 1) * 8 + 5, where: "kv head 1, key 3", head: 1 },
    dv: { at: (3 * 2 + 1) * 8 + 5, where: "kv head 1, key 3", head: 1 },
  } as const;
  for (const [name, { at, where, head }] of Object.entries(places)) {
    const fault = { name: name as "dq", at };
    for (const change of [(x: number) => x + 1e-4, () => NaN, () => Infinity, (x: number) => -x]) {
      await withFault(fault, change, async () => {
        await assert.rejects(() => call({ rows: Infinity }), (error: unknown) => {
          assert.ok(error instanceof VerificationError);
          const wanted =
            `Cannot trust attentionBackward: ${name} of batch 0, ${where}, column 5 is `;
          assert.ok(error.message.startsWith(wanted), error.message);
          const { batch, query, key, column, result, ...rest } = error.verification.at!;
          assert.deepEqual([result, batch, rest.head, column], [name, 0, head, 5]);
          assert.deepEqual([query, key], name === "dq" ? [3, undefined] : [undefined, 3]);
          return true;
        });
      });
    }
    await withFault(fault, (x) => x + 1e-4, async () => {
      const { verified } = await call({ rows: Infinity, bound: Infinity });
      assert.ok(verified!.error > 50, `${verified!.error}`); // measured, and let pass
    });
  }
  assert.ok((await call({ rows: Infinity })).verified!.error <= 8);
});

Deno.test("gradients of nothing verify, and of rows that see nothing", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  for (const [lengthQ, lengthK] of [[0, 5], [4, 0]] as const) {
    const { verified } = await gradients(engine, makeInputs(defineCase({ lengthQ, lengthK })), {
      rows: Infinity,
    });
    assert.equal(verified.error, 0);
    assert.deepEqual(verified.checked, { dq: lengthQ, dk: lengthK, dv: lengthK });
  }
  // keys behind those in use have gradients of 0, also where rows turn
  const c = defineCase({
    batch: 2,
    lengthQ: 6,
    lengthK: 9,
    headDim: 8,
    keyLengths: [5, 0],
    rotary: {},
  });
  const { dk, verified } = await gradients(engine, makeInputs(c), { rows: Infinity });
  assert.ok(verified.error > 0 && verified.error <= 8, `${verified.error}`);
  assert.ok((dk.data as Float32Array).subarray(5 * 8).every((x) => x === 0));
});
