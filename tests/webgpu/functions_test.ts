/** Functions of scores and masks on the GPU against tables of what they give: in regions, beside NaN, recorded. */

import assert from "node:assert/strict";
import { captured, type HostTensor, maskMod, masks, scoreMod, type Tensor } from "../../mod.ts";
import type { TestTensor } from "../reference/problem.ts";
import { mapTuple } from "../tuples.ts";
import { both, type Call, call, near, type Problem, values } from "./definitions.ts";
import { deviceOf, forcedEngine, gpuEngine, gpuTest } from "./support.ts";
import { homes, place } from "./tensors.ts";

const table = Float32Array.from({ length: 8 * 7 }, (_, n) => (n * 37 % 11) / 8 - 0.5);
const ofTable = captured(table, [8, 7]);

/** Adds what every number of a pair has a share in. */
const everyNumber = scoreMod((
  { score, batch, head, kvHead, query, key, lengthQ, lengthK, diagonal },
) => {
  const ofRow = batch.mul(5).add(kvHead.mul(3)).add(query.mul(2)).add(lengthQ).sub(diagonal);
  const added = ofTable.at(head.min(7), ofRow.add(key.mul(3)).add(lengthK).mod(7));
  return score.add(added);
});

/** Hides a fifth of the pairs, by every number. */
const everyFifth = maskMod(({ batch, head, kvHead, query, key, lengthK, diagonal }) =>
  batch.add(head).add(kvHead).add(query.mul(3)).add(key.mul(2)).add(lengthK).add(diagonal).mod(5)
    .ne(0)
);

const modulo = (a: number, n: number) => ((a % n) + n) % n;

/** The same as tables: a bias, and bytes. */
function tables(c: Call): { bias: HostTensor; mask: HostTensor } {
  const { batch, heads, kvHeads, lengthQ, lengthK, options } = c;
  const shape = [batch, heads, lengthQ, lengthK], size = batch * heads * lengthQ * lengthK;
  const bias = new Float32Array(size), mask = new Uint8Array(size);
  const counts = options.keyLengths as Int32Array | undefined;
  for (let n = 0; n < size; n++) {
    const j = n % lengthK, i = Math.floor(n / lengthK) % lengthQ;
    const h = Math.floor(n / (lengthK * lengthQ)) % heads;
    const b = Math.floor(n / (lengthK * lengthQ * heads)), kv = Math.floor(h / (heads / kvHeads));
    const keys = counts?.[b] ?? lengthK, diagonal = i + keys - lengthQ;
    const place = b * 5 + kv * 3 + i * 2 + lengthQ - diagonal + j * 3 + keys;
    bias[n] = table[h * 7 + modulo(place, 7)]!;
    mask[n] = modulo(b + h + kv + i * 3 + j * 2 + keys + diagonal, 5) === 0 ? 0 : 1;
  }
  return { bias: { data: bias, shape }, mask: { data: mask as never, shape } };
}

const functions = { scoreMod: everyNumber, maskMod: everyFifth };

gpuTest("functions know every number of a pair, in regions of every axis", async (t) => {
  const limits = { storageBinding: 12288 };
  const { engine } = await forcedEngine({ defaultLimits: true, limits });
  using whole = await gpuEngine();
  const regions: Readonly<Record<string, Partial<Problem>>> = {
    "by keys and rows": { batch: 1, lengthQ: 130, lengthK: 140, options: { causal: true } },
    "by sequences": {
      ...{ batch: 5, heads: 2, kvHeads: 1, lengthQ: 40, lengthK: 45 },
      options: { keyLengths: Int32Array.of(45, 9, 0, 44, 30) },
    },
    "by heads of a group": { batch: 1, heads: 6, kvHeads: 1, lengthQ: 41, lengthK: 50 },
    "by kv heads": { batch: 2, heads: 8, kvHeads: 4, lengthQ: 50, lengthK: 50 },
    "few queries": { batch: 1, lengthQ: 2, lengthK: 700, dim: 20 },
  };
  for (const [name, sizes] of Object.entries(regions)) {
    const c = call(sizes);
    await t.step(name, async () => {
      const { bias, mask } = tables(c);
      const { dBias: _, ...want } = await both(whole, c, { bias, mask: mask as never });
      const got = await both(engine, c, functions);
      for (const [name, tensor] of Object.entries(want)) {
        near(got[name]!, values(tensor), 1e-5, name);
      }
    });
  }
  assert.equal(engine.memory.used, 0);
  engine.dispose();
}, { part: "rest" });

gpuTest("what a mask hides may be NaN, and functions may give infinities", async () => {
  using engine = await gpuEngine();
  const c = call({}),
    spoilt = (tensor: TestTensor): TestTensor => {
      const data = Float32Array.from(tensor.data as Float32Array);
      for (let n = 0; n < data.length; n++) {
        if (Math.floor(n / c.dim) % c.lengthK > 30) data[n] = NaN;
      }
      return { ...tensor, data };
    };
  const options = { maskMod: maskMod(({ key }) => key.le(30)), scoreMod: everyNumber };
  const poisoned = { ...c, k: spoilt(c.k), v: spoilt(c.v) };
  const want = await both(engine, c, options), got = await both(engine, poisoned, options);
  for (const [name, tensor] of Object.entries(want)) near(got[name]!, values(tensor), 1e-6, name);
  // minus infinity hides as the mask does
  const hides = scoreMod(({ score, key }) => key.le(30).where(score, -Infinity));
  const mask = { maskMod: options.maskMod }, hidden = await both(engine, c, { scoreMod: hides });
  for (const [name, tensor] of Object.entries(await both(engine, c, mask))) {
    near(hidden[name]!, values(tensor), 1e-6, `${name} beside minus infinity`);
  }
}, { part: "rest" });

gpuTest("what is captured is read at each call, also into a caller's pass", async () => {
  using engine = await gpuEngine();
  const slopes = new Float32Array(4), ofSlopes = captured(slopes, [4]);
  const alibi = scoreMod(({ score, head, diagonal, key }) =>
    score.sub(ofSlopes.at(head).mul(diagonal.sub(key).abs().toFloat()))
  );
  const c = call({}), [q, k, v] = mapTuple([c.q, c.k, c.v], (tensor) => place(engine, tensor));
  for (const value of [0.1, 0.3]) {
    slopes.fill(value);
    const alibiSlopes = { data: slopes.slice(), shape: [4] };
    const { dAlibiSlopes: _, ...want } = await both(engine, c, { alibiSlopes });
    const got = await both(engine, c, { scoreMod: alibi });
    for (const [name, tensor] of Object.entries(want)) near(got[name]!, values(tensor), 1e-6, name);
    const encoder = deviceOf(engine).createCommandEncoder(), pass = encoder.beginComputePass();
    const result = engine.encode(pass, q, k, v, { ...c.options, scoreMod: alibi });
    pass.end();
    deviceOf(engine).queue.submit([encoder.finish()]);
    const encoded = await homes({ ...result } as unknown as Record<string, Tensor>);
    assert.deepEqual(encoded.out!.data, got.out.data);
  }
}, { part: "rest" });

gpuTest("captured arrays beyond a quarter of a binding are refused before any work", async () => {
  const { engine } = await forcedEngine({ defaultLimits: true, limits: { storageBinding: 65536 } });
  const c = call({}),
    ids = new Int32Array(4097),
    options = { ...c.options, maskMod: masks.documents(ids) };
  const run = engine.attention(c.q as HostTensor, c.k as HostTensor, c.v as HostTensor, options);
  await assert.rejects(run, {
    name: "UnsupportedError",
    message: /captur.*16388 bytes.*webgpu.*16384 bytes/,
  });
  engine.dispose();
});
