/** Decoding beyond the shared grid: one step after another over a cache that grows. */

import { attention } from "../mod.ts";
import { assertClose } from "./assert_close.ts";
import { engineConfigurations, hostTensor, openAll } from "./backends.ts";
import { defineCase } from "./case.ts";
import { makeInputs } from "./inputs.ts";
import { expectForward } from "./oracle.ts";
import { readOperand, type TestTensor } from "./reference/problem.ts";
import { mapTuple } from "./tuples.ts";

const rerun = "deno task test tests/decode_test.ts";

Deno.test({
  name: "decoding row by row over a growing cache gives the rows of one causal call",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using open = await openAll(engineConfigurations);
    const [queryHeads, kvHeads, length, headDim] = [6, 2, 150, 40];
    const c = defineCase({ queryHeads, kvHeads, lengthQ: length, headDim, causal: true });
    const inputs = makeInputs(c);
    const want = expectForward(inputs);
    for (const [configuration, session] of open.sessions) {
      const out = new Float64Array(want.out.values.length);
      for (let step = 0; step < length; step++) {
        const result = await session.forward({
          q: rows(inputs.q, step, step + 1),
          k: rows(inputs.k, 0, step + 1),
          v: rows(inputs.v, 0, step + 1),
          options: { causal: true },
        });
        readOperand(result.out, "bshd").forEach((value, n) => {
          const [head, d] = [Math.floor(n / headDim), n % headDim];
          out[(head * length + step) * headDim + d] = value;
        });
      }
      const subject = { result: "out", configuration, caseName: inputs.name, seed: inputs.seed };
      assertClose({ ...subject, rerun }, out, want.out, [1, queryHeads, length, headDim]);
    }
  },
});

Deno.test({
  name: "decoding over a cache of fixed size uses keyLengths instead of copying",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const inputs = makeInputs(defineCase({
      ...{ batch: 2, queryHeads: 4, kvHeads: 1, lengthQ: 1, lengthK: 1024, headDim: 32 },
      ...{ keyLengths: [700, 33], causal: true },
    }));
    // What lies past the end of a sequence is whatever was there before.
    const [k, v] = mapTuple([inputs.k, inputs.v], (tensor) => poisonAfter(tensor, [700, 33]));
    const result = await attention(inputs.q, k, v, inputs.options);
    const want = expectForward(inputs);
    const subject = { result: "out", configuration: "default engine", caseName: inputs.name };
    const got = readOperand(hostTensor(result.out), "bshd");
    assertClose({ ...subject, seed: inputs.seed, rerun }, got, want.out, [2, 4, 1, 32]);
  },
});

/** Rows of a packed bshd tensor of batch 1, as a view. */
function rows({ data, shape }: TestTensor, from: number, to: number): TestTensor {
  const row = shape[2]! * shape[3]!;
  return { data: data.subarray(from * row, to * row), shape: [1, to - from, shape[2]!, shape[3]!] };
}

/** A copy of a packed bshd tensor with NaN in the rows from `ends[b]` on. */
function poisonAfter({ data, shape }: TestTensor, ends: readonly number[]): TestTensor {
  const copy = data.slice();
  const row = shape[2]! * shape[3]!;
  ends.forEach((end, b) => copy.fill(NaN, (b * shape[1]! + end) * row, (b + 1) * shape[1]! * row));
  return { data: copy, shape };
}
