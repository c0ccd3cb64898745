/** The option `verify`: right calls are found right, whatever they compute; a wrong element is found and named. */

import assert from "node:assert/strict";
import {
  attentionBackwardSync,
  attentionSync,
  createEngine,
  type Engine,
  type Tensor,
  UnsupportedError,
  type Verification,
  VerificationError,
} from "../mod.ts";
import { type Case, caseName, defineCase } from "./case.ts";
import { onEngines } from "./engines.ts";
import { featureSections } from "./grid_features.ts";
import { pairSection } from "./grid_pairs.ts";
import { makeInputs, plainTensor } from "./inputs.ts";
import { packedInputs } from "./packed.ts";
import { withFault } from "./verify_faults.ts";

/** Calls on the CPU: some of the sections about options, each with all of its features. */
const cases: readonly Case[] = [...featureSections, pairSection].flatMap(({ cases }) => cases)
  .filter(({ lengthQ, lengthK }) => lengthQ * lengthK < 20_000).filter((_, n) => n % 9 === 0);
/** A few of them on a GPU, where each compiles. */
const onGpu = 3;

/** What verification of all rows of a case finds. */
async function verified(engine: Engine, c: Case, rows: number): Promise<Verification> {
  const { q, k, v, options } = makeInputs(c);
  const result = await engine.attention(q, k, v, { ...options, verify: { rows, seed: 3 } });
  return result.verified!;
}

onEngines("right calls verify, with every option", async (engine) => {
  const taken = engine.backend === "wasm" ? cases : cases.slice(0, onGpu);
  for (const c of taken) {
    const found = await verified(engine, c, 6).catch((error) => {
      throw new Error(caseName(c), { cause: error });
    });
    assert.ok(found.error <= 8, `${caseName(c)}: ${found.error}`); // half of what is allowed
    const { batch, queryHeads, lengthQ } = c;
    assert.equal(found.rows, Math.min(6, batch * queryHeads * lengthQ));
  }
});

Deno.test("packed calls verify, on queries, on keys and on both", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const lengths = [[5, 9], [0, 4], [17, 33]] as const;
  const fields = { queryHeads: 4, kvHeads: 2, headDim: 12, causal: true, softcap: 3 } as const;
  for (const rotary of [undefined, { positions: "each" }] as const) {
    const more = { ...fields, ...rotary && { rotary } };
    const { inputs: { q, k, v, options } } = packedInputs(
      {
        ...{ about: "packed", lengths, fields: more, queries: true, keys: true, behind: 3 },
      } as unknown as Parameters<typeof packedInputs>[0],
    );
    const verify = { rows: Infinity };
    const { verified } = await engine.attention(q, k, v, { ...options, verify });
    assert.equal(verified!.rows, 4 * 22);
    assert.ok(verified!.error > 0 && verified!.error <= 8, `${verified!.error}`);
  }
});

onEngines("resident tensors and caches verify", async (engine) => {
  const shape = [2, 9, 2, 8], host = [1, 2, 3].map((seed) => plainTensor(seed, shape));
  const [q, k, v] = host.map((tensor) => engine.tensor(tensor)) as [Tensor, Tensor, Tensor];
  const { out, lse, verified } = await engine.attention(q, k, v, {
    causal: true,
    verify: "sample",
  });
  assert.equal(verified!.rows, 16);
  assert.equal((await out.read()).length, 2 * 9 * 2 * 8); // left alone
  for (const tensor of [q, k, v, out, lse]) tensor.dispose();
  const cache = engine.kvCache({
    ...{ sequences: 3, kvHeads: 2, headDim: 8, pageSize: 4, pages: 16 },
    dtype: engine.backend === "wasm" ? "i8" : "f16",
  });
  cache.append(host[1]!, host[2]!, { sequences: [2, 0] });
  const options = { causal: true, sequences: [0, 2], verify: { rows: Infinity } } as const;
  const result = await engine.attention(host[0]!, cache.keys, cache.values, options);
  assert.ok(result.verified!.error <= 8 && result.verified!.rows === 36);
  cache.dispose();
});

onEngines("a wrong element is found, and named", async (engine) => {
  const [q, k, v] = [1, 2, 3].map((seed) => plainTensor(seed, [1, 9, 2, 8])) as [
    never,
    never,
    never,
  ];
  const call = (verify: { rows: number; bound?: number; seed?: number }) =>
    engine.attention(q, k, v, { verify });
  const place = { name: "out", at: 7 * 8 + 5 } as const; // batch 0, query 3, head 1, column 5
  for (const change of [(x: number) => x + 1e-4, () => NaN, () => Infinity, (x: number) => -x]) {
    await withFault(place, change, async () => {
      await assert.rejects(() => call({ rows: Infinity }), (error: unknown) => {
        assert.ok(error instanceof VerificationError);
        assert.match(
          error.message,
          /^Cannot trust attention: out of batch 0, head 1, query 3, column 5 is .* but must be/,
        );
        const { result, batch, head, query, column } = error.verification.at!;
        assert.deepEqual([result, batch, head, query, column], ["out", 0, 1, 3, 5]);
        return true;
      });
      // a sample without that row does not see it; one of another seed may
      assert.equal((await call({ rows: 1 })).verified!.rows, 1);
    });
  }
  await withFault(place, (x) => x + 1e-4, async () => {
    const { verified } = await call({ rows: Infinity, bound: Infinity });
    assert.ok(verified!.error > 100); // measured, and let pass
  });
  assert.ok((await call({ rows: Infinity })).verified!.error <= 8); // as before
});

Deno.test("what verify cannot do is refused before any work", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const q = plainTensor(1, [1, 3, 2, 8]), lse = plainTensor(1, [1, 2, 3]);
  const wrong = (verify: unknown) => engine.attention(q, q, q, { verify: verify as "sample" });
  await assert.rejects(() => wrong("all"), {
    name: "TypeError",
    message: /verify is "all" but must be "sample"/,
  });
  await assert.rejects(() => wrong({ row: 1 }), /verify has the unknown key "row"/);
  for (
    const [name, value] of [["rows", 0], ["rows", 1.5], ["bound", 0], ["bound", NaN], [
      "seed",
      -1,
    ]] as const
  ) {
    await assert.rejects(() => wrong({ [name]: value }), {
      name: "RangeError",
      message: RegExp(`verify\\.${name} is`),
    });
  }
  const verify = "sample" as const;
  assert.throws(() => attentionSync(q, q, q, { verify }), UnsupportedError);
  const options = { verify, engine } as object;
  const saved = { q, k: q, v: q, out: q, lse };
  assert.throws(() => attentionBackwardSync(q, saved, options), UnsupportedError);
  await assert.rejects(
    () => engine.attentionBackward(q, saved, { verify: { rows: 0 } }),
    /^RangeError: Cannot run attentionBackward: verify\.rows is 0/,
  );
  assert.equal((await engine.attention(q, q, q, { verify: false })).verified, undefined);
  const same = { rows: 4, seed: 9 };
  const [a, b] = [
    await engine.attention(q, q, q, { verify: same }),
    await engine.attention(q, q, q, { verify: same }),
  ];
  assert.deepEqual(a.verified, b.verified);
});

Deno.test("verify of nothing, and of rows that see nothing", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const options = { verify: "sample" } as const;
  const c = makeInputs(defineCase({ lengthQ: 0, lengthK: 5 }));
  const { verified } = await engine.attention(c.q, c.k, c.v, options);
  assert.deepEqual(verified, { rows: 0, error: 0, bound: 16 });
  const none = makeInputs(defineCase({ lengthQ: 4, lengthK: 0 }));
  assert.equal((await engine.attention(none.q, none.k, none.v, options)).verified!.error, 0);
});

Deno.test("scores of every size verify, and values at the end of float16", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const of = (data: number[], shape = [1, data.length, 1, 1]) => ({
    data: Float32Array.from(data),
    shape,
  });
  const rows = { verify: { rows: Infinity } };
  const check = async (q: number[], k: number[], options: object, want: number[]) => {
    const v = of(k.map((_, n) => n + 1));
    const { out, verified } = await engine.attention(of(q), of(k), v, { ...options, ...rows });
    assert.ok(verified!.error <= 16);
    want.forEach((x, n) => {
      const got = out.data[n]!,
        same = Number.isNaN(x) ? Number.isNaN(got) : Math.abs(x - got) < 1e-5;
      assert.ok(same, `${got}, ${x}`);
    });
  };
  // three equal scores, of which one lse holds the sum only where they are small
  for (const size of [1, 1e5, 1e10, 1e19]) await check([size], [size, size, size], {}, [2]);
  const lowest = of([-3.4028234663852886e38], [1]), softmaxScale = 1;
  await check([1], [0.1, 0.1, 0.1], { bias: lowest, softmaxScale }, [2]);
  await check([Infinity, 1], [0.1, -0.1], { softmaxScale }, [1, 1.450166]);
  await check([Infinity], [1, 1], { softmaxScale }, [NaN]);
  const most = {
    data: new Uint16Array(3).fill(0x7bff),
    shape: [1, 3, 1, 1],
    dtype: "f16",
  } as const;
  await engine.attention(most, most, most, rows);
});
