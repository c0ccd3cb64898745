/** Dropout: which pairs are kept, on every engine and tiling the same, and what being dropped means. */

import assert from "node:assert/strict";
import { attentionSync, dropoutMask, type DropoutMaskOptions } from "../mod.ts";
import { drawsOf } from "../src/problem/features/philox.ts";
import { feature } from "../src/problem/features/table.ts";
import { bothPasses, engineConfigurations, type Session } from "./backends.ts";
import { type Case, defineCase } from "./case.ts";
import { makeInputs } from "./inputs.ts";
import { keptPairs } from "./reference/dropout.ts";
import { readOperand, readPacked, type TestTensor } from "./reference/problem.ts";
import { type GpuPart, testSessions } from "./sessions.ts";

const wide = { probability: 0.3, seed: 2n ** 64n - 12345n };

Deno.test("dropoutMask has the pairs of the definition, in rectangles anywhere", () => {
  const sizes = [2, 3, 20, 45] as const;
  for (const { probability, seed } of [wide, { probability: 0.5, seed: 0 }]) {
    const kept = keptPairs({ probability, seed }, sizes);
    for (
      const [batch, head, rows, keys] of [
        [0, 0, [0, 20], [0, 45]],
        [1, 2, [3, 17], [5, 43]],
        [1, 0, [19, 20], [7, 9]],
        [0, 1, [4, 4], [0, 45]],
      ] as const
    ) {
      const mask = dropoutMask({ seed, probability, batch, head, rows, keys });
      const width = keys[1] - keys[0];
      assert.equal(mask.length, (rows[1] - rows[0]) * width);
      mask.forEach((bit, n) => {
        const row = rows[0] + Math.floor(n / width), key = keys[0] + n % width;
        assert.equal(bit, kept[((batch * 3 + head) * 20 + row) * 45 + key], `${row}, ${key}`);
      });
    }
  }
});

Deno.test("a pair whose draw is the threshold is kept, by kernels and by what verifies them", () => {
  const one = { data: new Float32Array(4).fill(1), shape: [1, 1, 1, 4] };
  for (const seed of [1, 2, 3]) {
    const draw = drawsOf([seed, 0], 0, 0, 0, 0)[0]!;
    for (const [threshold, kept] of [[draw, 1], [draw + 1, 0]] as const) {
      const dropout = { seed, probability: threshold / 2 ** 32 };
      const place = { batch: 0, head: 0, rows: [0, 1], keys: [0, 1] } as const;
      assert.deepEqual([...dropoutMask({ ...dropout, ...place })], [kept]);
      assert.equal(attentionSync(one, one, one, { dropout }).out.data[0] !== 0, kept === 1);
      const params = { ...dropout, seed: [seed, 0] },
        pair = { batch: 0, head: 0, query: 0, key: 0 };
      const { weight } = feature("dropout").exact!(params, undefined as never);
      assert.equal(weight!(pair), kept && 1 / (1 - dropout.probability));
    }
  }
});

Deno.test("a seed is a number or a bigint, and every bit of it counts", () => {
  const rectangle = { probability: 0.5, batch: 0, head: 0, rows: [0, 4], keys: [0, 64] } as const;
  const mask = (seed: number | bigint) => dropoutMask({ seed, ...rectangle });
  assert.deepEqual(mask(2 ** 53 - 1), mask(2n ** 53n - 1n));
  const seen = new Set(Array.from({ length: 64 }, (_, bit) => mask(1n << BigInt(bit)).join("")));
  assert.equal(seen.size, 64);
});

const many = { seed: 11, batch: 0, head: 0, rows: [0, 512], keys: [0, 1024] } as const;

Deno.test("pairs are dropped with the probability", () => {
  for (const probability of [0, 1e-3, 0.1, 0.5, 0.9, 1 - 2 ** -53]) {
    const mask = dropoutMask({ ...many, probability });
    const kept = mask.reduce((sum, bit) => sum + bit, 0);
    const deviation = Math.sqrt(mask.length * probability * (1 - probability));
    const off = Math.abs(kept - mask.length * (1 - probability));
    assert.ok(off <= 4 * deviation + 1, `${probability}: ${off} off, deviation ${deviation}`);
  }
});

Deno.test("neighbours are dropped independently: keys, rows, heads, sequences and seeds", () => {
  const probability = 0.3, size = 512 * 1024;
  const at = (more: Partial<DropoutMaskOptions>) => dropoutMask({ ...many, probability, ...more });
  const mask = at({});
  const moved = (n: number) => mask.map((_, at) => mask[(at + n) % size]!);
  const others: Readonly<Record<string, Uint8Array>> = {
    // four keys on is the other draw of the same word, eight the next counter, 1024 the next row
    ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 1024].map((n) => [`${n} pairs on`, moved(n)])),
    "the next head": at({ head: 1 }),
    "the next sequence": at({ batch: 1 }),
    "the next seed": at({ seed: 12 }),
    "a seed of other high bits": at({ seed: 2n ** 32n + 11n }),
  };
  for (const [name, other] of Object.entries(others)) {
    let both = 0;
    mask.forEach((bit, n) => both += (1 - bit) * (1 - other[n]!));
    const share = probability ** 2, deviation = Math.sqrt(size * share * (1 - share));
    const off = Math.abs(both - size * share);
    assert.ok(off < 4 * deviation, `${name}: ${off} off, deviation ${deviation}`);
  }
});

Deno.test("dropoutMask refuses what is no rectangle, and names it", () => {
  const good = { seed: 1, probability: 0.5, batch: 0, head: 0, rows: [0, 2], keys: [0, 2] };
  const bad: readonly [object, RegExp][] = [
    [{ seed: -1 }, /RangeError: Cannot run dropoutMask: seed is -1 .*non-negative/],
    [{ seed: undefined }, /TypeError: .*seed is undefined/],
    [{ probability: 1 }, /RangeError: .*probability is 1 .*below 1/],
    [{ batch: 1.5 }, /RangeError: .*batch is 1\.5/],
    [{ head: "0" }, /TypeError: .*head is "0"/],
    [{ rows: [2, 1] }, /RangeError: .*rows is \[2, 1\]/],
    [{ rows: 5 }, /TypeError: .*rows is 5 .*\[first, end\]/],
    [{ keys: [0, -1] }, /RangeError: .*keys\[1\] is -1/],
    [{ rows: [0, 2 ** 20], keys: [0, 2 ** 20] }, /RangeError: .*rows times keys is/],
    [{ row: 1 }, /TypeError: .*unknown name "row", wanted one of seed/],
  ];
  for (const [change, message] of bad) {
    const options = { ...good, ...change } as unknown as DropoutMaskOptions;
    assert.throws(() => dropoutMask(options), (error) => message.test(String(error)));
  }
  assert.throws(() => dropoutMask(undefined as never), /options is undefined/);
});

/** Registers a test of every configuration. */
function onEngines(
  name: string,
  check: (session: Session) => Promise<void>,
  gpu: GpuPart = "core",
): void {
  testSessions(name, engineConfigurations, check, gpu);
}

/** A tensor with other values. */
function filled(tensor: TestTensor, value: (index: readonly number[]) => number): TestTensor {
  const { shape } = tensor, data = new Float32Array(tensor.data.length);
  data.forEach((_, n) => {
    let rest = n;
    const index = shape.toReversed().map((size) => {
      const at = rest % size;
      rest = Math.floor(rest / size);
      return at;
    }).reverse();
    data[n] = value(index);
  });
  return { data, shape };
}

/** Equal scores and values that say which key they are of: what out then has of each pair, a few keys at a time. */
async function weightsOf(session: Session, c: Case): Promise<Float64Array> {
  const { batch, queryHeads, lengthQ, lengthK, valueDim } = c;
  const inputs = makeInputs(c), rows = batch * queryHeads * lengthQ;
  const weights = new Float64Array(rows * lengthK);
  for (let first = 0; first < lengthK; first += valueDim) {
    const v = filled(inputs.v, ([_, key, __, column]) => key! - first === column ? 1 : 0);
    const call = { ...inputs, q: filled(inputs.q, () => 0), v, options: { dropout: wide } };
    const out = readOperand((await session.forward(call)).out, "bshd");
    for (let row = 0; row < rows; row++) {
      for (let d = 0; d < valueDim && first + d < lengthK; d++) {
        weights[row * lengthK + first + d] = out[row * valueDim + d]!;
      }
    }
  }
  return weights;
}

const grouped: Partial<Case> = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 45, lengthK: 70 };

onEngines("every engine and tiling keeps the pairs of dropoutMask", async (session) => {
  const few = { ...grouped, lengthQ: 2, lengthK: 131, headDim: 20 };
  for (const c of [grouped, few, { ...few, batch: 1, lengthK: 1100 }].map(defineCase)) {
    const { batch, queryHeads, lengthQ, lengthK } = c, weights = await weightsOf(session, c);
    for (let b = 0; b < batch; b++) {
      for (let head = 0; head < queryHeads; head++) {
        const rows = [0, lengthQ] as const, keys = [0, lengthK] as const;
        const mask = dropoutMask({ ...wide, batch: b, head, rows, keys });
        const first = (b * queryHeads + head) * mask.length;
        mask.forEach((bit, n) => {
          const off = Math.abs(weights[first + n]! * lengthK * (1 - wide.probability) - bit);
          assert.ok(off < 1e-5, `sequence ${b}, head ${head}, pair ${n}: ${weights[first + n]}`);
        });
      }
    }
  }
}, "rest");

onEngines("probability 0 is no dropout, bit for bit", async (session) => {
  const inputs = makeInputs(defineCase(grouped));
  const want = await bothPasses(session, inputs),
    options = { dropout: { probability: 0, seed: 3 } };
  assert.deepEqual(await bothPasses(session, { ...inputs, options }), want);
}, "rest");

onEngines("the mean over many seeds comes near the result without", async (session) => {
  const inputs = makeInputs(defineCase({ ...grouped, batch: 1, lengthQ: 12, lengthK: 40 }));
  const want = await bothPasses(session, inputs), names = ["out", "dv"] as const, seeds = 100;
  const sums = names.map((name) => new Float64Array(want[name].data.length));
  for (let seed = 0; seed < seeds; seed++) {
    const options = { dropout: { probability: 0.2, seed } };
    const got = await bothPasses(session, { ...inputs, options });
    assert.deepEqual(got.lse, want.lse);
    names.forEach((name, n) => readPacked(got[name]).forEach((x, at) => sums[n]![at]! += x));
  }
  names.forEach((name, n) => {
    const wanted = readPacked(want[name]);
    const off = sums[n]!.reduce((sum, x, at) => sum + (x / seeds - wanted[at]!) ** 2, 0);
    const size = wanted.reduce((sum, x) => sum + x * x, 0);
    assert.ok(off < 0.02 * size, `${name}: ${Math.sqrt(off / size)} of its size`);
  });
}, "rest");

onEngines("what a dropped pair has in v does not matter", async (session) => {
  const options = { dropout: { probability: 0.5, seed: 4 } };
  const inputs = { ...makeInputs(defineCase({ ...grouped, lengthQ: 9, batch: 1 })), options };
  const { kvHeads, headDim } = defineCase(grouped);
  const masks = [0, 1].map((head) =>
    dropoutMask({ ...options.dropout, batch: 0, head, rows: [0, 9], keys: [0, 70] })
  );
  const saved = await session.forward(inputs);
  const data = Float32Array.from(inputs.v.data);
  for (let d = 0; d < headDim; d++) data[7 * kvHeads * headDim + d] = NaN; // key 7 of kv head 0
  const out = readOperand(
    (await session.forward({ ...inputs, v: { ...inputs.v, data } })).out,
    "bshd",
  );
  const clean = readOperand(saved.out, "bshd");
  let seen = 0;
  masks.forEach((mask, head) => {
    for (let i = 0; i < 9; i++) {
      const row = (head * 9 + i) * headDim, kept = mask[i * 70 + 7] === 1;
      seen += Number(kept);
      for (let d = row; d < row + headDim; d++) {
        if (kept) assert.ok(Number.isNaN(out[d]), `head ${head}, row ${i} sees the NaN`);
        else assert.ok(Math.abs(out[d]! - clean[d]!) < 1e-5, `head ${head}, row ${i}: ${out[d]}`);
      }
    }
  });
  assert.ok(seen > 0 && seen < 18, `${seen} rows keep the pair`);
}, "rest");
