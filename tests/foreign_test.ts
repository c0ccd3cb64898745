/** What comes from elsewhere: typed arrays of another realm, engines of another copy of the library, no engine named. */

import assert from "node:assert/strict";
import { runInNewContext } from "node:vm";
import {
  attention,
  attentionBackward,
  attentionSync,
  createEngine,
  type Engine,
  type HostTensor,
  mergeAttention,
  type Tensor,
} from "../mod.ts";
import { plainTensor } from "./inputs.ts";
import { mapTuple } from "./tuples.ts";

const shape = [1, 3, 2, 4];
const [q, k, v, bias] = mapTuple(
  [1, 2, 3, 4],
  (seed) => plainTensor(seed, seed < 4 ? shape : [3, 3]),
);

/** A copy of an array in a realm of its own. */
function foreign<T extends ArrayLike<number>>(array: T): T {
  return runInNewContext(`${array.constructor.name}.from(values)`, {
    values: [...Array.from(array)],
  });
}

const abroad = ({ data, ...rest }: HostTensor) => ({
  ...rest,
  data: foreign(data as Float32Array),
});

Deno.test("typed arrays of another realm are typed arrays", () => {
  const array = foreign(new Float32Array(1));
  assert.ok(!(array instanceof Float32Array), "the realm is no other one");
  const mask = { data: Uint8Array.of(1, 0, 1, 1, 1, 0, 0, 1, 1), shape: [3, 3] };
  const options = {
    mask,
    bias,
    keyLengths: Int32Array.of(3),
    causal: { offset: Int32Array.of(1) },
  };
  const want = attentionSync(q, k, v, options);
  const got = attentionSync(abroad(q), abroad(k), abroad(v), {
    mask: { ...mask, data: foreign(mask.data) },
    bias: abroad(bias),
    keyLengths: foreign(options.keyLengths),
    causal: { offset: foreign(options.causal.offset) },
  });
  assert.deepEqual([...got.out.data as Float32Array], [...want.out.data as Float32Array]);
  const halves = { data: new Uint16Array(24).fill(0x3c00), shape, dtype: "f16" as const };
  assert.deepEqual(
    [...attentionSync({ ...halves, data: foreign(halves.data) }, k, v).out.data as Uint16Array],
    [...attentionSync(halves, k, v).out.data as Uint16Array],
  );
});

Deno.test("an array of the wrong kind is refused whatever its realm", () => {
  const wrong = { data: foreign(new Float64Array(24)), shape } as unknown as HostTensor;
  assert.throws(() => attentionSync(wrong, k, v), /q\.data is a Float64Array but must be/);
});

Deno.test("an engine of another copy of the library runs calls", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const calls: string[] = [];
  const copy = {
    attentionSync: () => calls.push("sync"),
    attention: () => Promise.resolve(calls.push("async")),
    explain: () => engine.explain(q, k, v),
  } as unknown as Engine;
  attentionSync(q, k, v, { engine: copy });
  await attention(q, k, v, { engine: copy });
  assert.deepEqual(calls, ["sync", "async"]);
});

Deno.test("resident tensors bring their engine", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const [rq, rk, rv] = mapTuple([q, k, v], ({ data }) => engine.tensor(data, shape));
  const { out, lse } = await attention(rq, rk, rv);
  const saved = { q: rq, k: rk, v: rv, out, lse };
  const { dq } = await attentionBackward(q, saved); // results of a call bring it too
  const merged = mergeAttention([{ out, lse }, { out, lse }]);
  assert.deepEqual((await merged.out.read()).length, 24);
  const { dk } = await attentionBackward(out, {
    ...saved,
    q,
    out: await host(out),
    lse: await host(lse),
  });
  assert.equal((await dk.read()).length, 24);
  assert.equal((await dq.read()).length, 24);
  using other = await createEngine({ backend: "wasm", threads: 1 });
  await assert.rejects(() => attention(rq, other.tensor(k.data, shape), rv), {
    message: /k belongs to another engine, but all tensors of a call must come from/,
  });
});

async function host(
  tensor: Pick<Tensor, "shape" | "read">,
) {
  return { data: await tensor.read(), shape: tensor.shape } as HostTensor;
}
