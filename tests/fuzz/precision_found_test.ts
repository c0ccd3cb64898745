/** What drawing precisions has found, or has found untested. */
import assert from "node:assert/strict";
import { createEngine } from "../../mod.ts";
import { runCascade } from "../../src/engine/cascade.ts";
import type { WasmTarget } from "../../src/plan/target.ts";
import { planAttention } from "../../src/plan/wasm/plan.ts";
import { type Call, describeForward } from "../../src/problem/problem.ts";
import { hostSession } from "../backends.ts";
import { plainTensor } from "../inputs.ts";
import { both } from "../int8.ts";
import { assertSameBits } from "../same_bits.ts";
import { any } from "./odd.ts";

const tensor = (...shape: number[]) => plainTensor(1, shape);

Deno.test("few rows are refused in int8 before keys that sequences share are read", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const sequences = 60, heads = { kvHeads: 2, headDim: 32 }, precision = "int8" as const;
  const cache = engine.kvCache({ sequences, ...heads, pageSize: 16, pages: 300 });
  cache.append(tensor(1, 3200, 2, 32), tensor(1, 3200, 2, 32), { sequences: [0] });
  for (let n = 1; n < sequences; n++) await cache.fork(0);
  const { keys, values } = cache, q = tensor(sequences, 1, 2, 32), rows: number[] = [];
  assert.equal(engine.explain(q, keys, values).sharedKeys, 3200);
  const { target } = engine,
    begun = (call: Call) => {
      rows.push(call.problem.lengthQ);
      planAttention(call.problem, target as WasmTarget);
      return Promise.reject(new Error("it was run"));
    };
  const refused = /with 1 rows for each head of k is not supported/;
  const call = describeForward(q, keys, values, { precision });
  await assert.rejects(() => runCascade(any({ target }), call, begun), refused);
  assert.deepEqual(rows, [1], "the shared keys are a call of 60 rows, which int8 has");
  await assert.rejects(() => engine.attention(q, keys, values, { precision }), refused);
});

Deno.test("workers make the bits of one thread from integers too", async () => {
  const q = tensor(1, 1200, 2, 64), k = plainTensor(2, q.shape), v = plainTensor(3, q.shape);
  using one = await createEngine({ backend: "wasm", threads: 1 });
  using shared = await createEngine({ backend: "wasm", threads: 1, workers: 2 });
  for (const options of both) {
    assert.equal(shared.explain(q, k, v, options).workers, 2);
    const [want, got] = await Promise.all(
      [one, shared].map((engine) =>
        hostSession(engine).forward({ q, k, v, options: options as never })
      ),
    );
    assertSameBits(got!, want!, options.precision);
  }
});

Deno.test("calls that have no precision say so by their name", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const q = tensor(1, 20, 1, 8), lse = tensor(1, 1, 20), options = any({ precision: "int8" });
  const refusals: readonly [name: string, run: () => unknown][] = [
    ["attentionScores", () => engine.attentionScores(q, q, options)],
    ["attentionColumnSums", () => engine.attentionColumnSums(q, q, lse, options)],
    ["mergeAttention", () => engine.mergeAttention([{ out: q, lse }], options)],
    ["applyRotary", () => engine.applyRotary(q, options)],
  ];
  for (const [name, run] of refusals) {
    await assert.rejects(async () => await run(), (error: Error) => {
      assert.match(error.message, new RegExp(`^the option precision of ${name} is not supported`));
      return true;
    });
  }
});

Deno.test("a bigint in the place of a precision is told from a number", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const q = tensor(1, 20, 1, 8), call = () => engine.attention(q, q, q, any({ precision: 16n }));
  await assert.rejects(
    call,
    /^TypeError: Cannot run attention: precision is 16n but must be "f32"/,
  );
});
