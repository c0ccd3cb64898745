/** ALiBi and sinks on the CPU against their formulas in float64: both builds, one and two threads, all kernels. */

import assert from "node:assert/strict";
import {
  attentionBackwardSync,
  attentionSync,
  createEngine,
  type Engine,
  type HostTensor,
} from "../../mod.ts";
import { type Plan, planAttention } from "../../src/plan/wasm/plan.ts";
import { describeBackward } from "../../src/problem/problem.ts";
import { wasmConfigurations } from "../backends.ts";
import type { StorageType } from "../half.ts";
import {
  type Call,
  callOf,
  decodeShape,
  dims,
  type Problem,
  problems,
  small,
  tensor,
  values,
} from "./alibi_sink.ts";
import { Reference } from "./alibi_sink_reference.ts";

/** Relative to the magnitudes that were added up: a few roundings of what calls store between the passes. */
const BOUNDS: Readonly<Record<StorageType, number>> = { f32: 3e-6, f16: 1e-3, bf16: 8e-3 };

function assertNear(got: object, { want, size }: Reference, p: Problem): void {
  const factor = BOUNDS[p.dtype ?? "f32"];
  for (const [name, tensor] of Object.entries<HostTensor>(got as never)) {
    const all = values(tensor)!, wanted = want[name];
    assert.equal(all.length, wanted.length, `${name}: ${JSON.stringify(p)}`);
    wanted.forEach((x, n) => {
      const bound = factor * (Math.abs(x) + size[name][n] + 0.05);
      if (all[n] === x || Math.abs(all[n] - x) <= bound) return;
      assert.fail(`${name}[${n}] is ${all[n]}, want ${x} up to ${bound}: ${JSON.stringify(p)}`);
    });
  }
}

interface Results {
  readonly forward: object;
  readonly gradients: object;
}

async function run(engine: Engine, { q, k, v, dOut, dLse, options }: Call): Promise<Results> {
  const forward = await engine.attention(q, k, v, options);
  const saved = { q, k, v, ...forward };
  return { forward, gradients: await engine.attentionBackward(dOut, saved, { ...options, dLse }) };
}

for (const { name } of wasmConfigurations) {
  const threads = name.includes("2 threads") ? 2 : 1;
  const simd = name.includes("plain") ? "plain" : "relaxed";
  Deno.test({
    name: `ALiBi and sinks are what their formulas say: ${name}`,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      using engine = await createEngine({ backend: "wasm", threads, simd });
      for (const p of problems) {
        const call = callOf(p), want = expected(p, call);
        const { forward, gradients } = await run(engine, call);
        assertNear(forward, want, p);
        assertNear(gradients, want, p);
        assert.deepEqual(
          await run(engine, call),
          { forward, gradients },
          `the same bits: ${JSON.stringify(p)}`,
        );
      }
    },
  });
}

const references = new Map<Problem, Reference>();
function expected(p: Problem, call: Call): Reference {
  if (!references.has(p)) references.set(p, new Reference(p, call));
  return references.get(p)!;
}

Deno.test("the problems above reach every kernel, KV splits, and regions of rows", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const seen = new Set<string>();
  for (const p of problems) {
    const { q, k, v, options } = callOf(p), { kernel, splits } = engine.explain(q, k, v, options);
    seen.add(`${kernel}${splits > 1 ? " in splits" : ""}`);
  }
  assert.deepEqual([...seen].sort(), ["decode", "decode in splits", "forward"]);
  const backward = problems.slice(-2).map((p) => planOf(p, callOf(p)));
  assert.ok(backward.every(({ splits }) => splits === 2), "backward in splits");
  assert.ok(backward[1].regions.some(({ rowBegin }) => rowBegin > 0), "regions of rows");
});

function planOf(p: Problem, { q, k, v, dOut, options }: Call): Plan {
  const [out, lse] = [dOut, tensor(5, [p.batch, p.queryHeads, p.lengthQ])];
  const { problem } = describeBackward(dOut, { q, k, v, out, lse }, options);
  const target = { backend: "wasm", threads: 2, relaxedSimd: true, shared: true } as const;
  return planAttention(problem, target);
}

Deno.test("the synchronous calls know ALiBi and sinks", () => {
  const p = problems[8],
    { q, k, v, dOut, dLse, options } = callOf(p),
    want = expected(p, callOf(p));
  const forward = attentionSync(q, k, v, options);
  assertNear(forward, want, p);
  assertNear(
    attentionBackwardSync(dOut, { q, k, v, ...forward }, { ...options, dLse }),
    want,
    p,
  );
});

Deno.test("a row without keys has out 0 and lse = sink, bit for bit", async () => {
  for (const threads of [1, 2]) {
    using engine = await createEngine({ backend: "wasm", threads });
    for (const lengthQ of [1, 20]) {
      const causal = { offset: -1000 };
      const p: Problem = { ...small, ...dims, lengthQ, sink: "random", causal };
      const { q, k, v, options } = callOf(p), sink = values(options.sink)!;
      const { out, lse } = await engine.attention(q, k, v, options);
      assert.ok((out.data as Float32Array).every((x) => x === 0));
      (lse.data as Float32Array).forEach((x, n) => {
        assert.equal(x, sink[Math.floor(n / lengthQ) % p.queryHeads]);
      });
    }
  }
});

Deno.test("infinite and NaN sinks: all the weight, none, NaN", async () => {
  for (const threads of [1, 2]) {
    using engine = await createEngine({ backend: "wasm", threads });
    for (const shape of [small, { ...small, lengthQ: 1 }, { ...decodeShape, batch: 2 }]) {
      const call = callOf({ ...shape, headDim: 64, valueDim: 64, sink: 0 });
      const one = shape.lengthQ * 64;
      const sinks = Float32Array.from({ length: shape.queryHeads }, () => 0.5);
      sinks[0] = Infinity;
      sinks[1] = NaN;
      sinks[2] = -Infinity;
      const options = { sink: { data: sinks, shape: [shape.queryHeads] } };
      const { forward, gradients } = await run(engine, { ...call, options });
      const { out, lse } = forward as { out: HostTensor; lse: HostTensor };
      const { dSink } = gradients as { dSink: HostTensor };
      const none = await engine.attention(call.q, call.k, call.v, {});
      const head = (t: HostTensor, h: number, b: number) =>
        Array.from(
          { length: one },
          (_, n) =>
            t.data[((b * shape.lengthQ + Math.floor(n / 64)) * shape.queryHeads + h) * 64 + n % 64],
        );
      const rows = (t: HostTensor, h: number, b: number) =>
        [...t.data as Float32Array].slice((b * shape.queryHeads + h) * shape.lengthQ).slice(
          0,
          shape.lengthQ,
        );
      for (let b = 0; b < shape.batch; b++) {
        assert.ok(head(out, 0, b).every((x) => x === 0), "out of a sink of infinity");
        assert.ok(rows(lse, 0, b).every((x) => x === Infinity), "lse of a sink of infinity");
        assert.ok(head(out, 1, b).every(Number.isNaN) && rows(lse, 1, b).every(Number.isNaN));
        assert.deepEqual(
          head(out, 2, b),
          head(none.out as HostTensor, 2, b),
          "a sink of -infinity",
        );
        assert.deepEqual(rows(lse, 2, b), rows(none.lse as HostTensor, 2, b));
        assert.ok(head(out, 3, b).every(Number.isFinite) && rows(lse, 3, b).every(Number.isFinite));
      }
      const weights = [...dSink.data as Float32Array];
      assert.ok(Number.isFinite(weights[0]) && Number.isNaN(weights[1]), `${weights}`);
      assert.equal(weights[2], 0);
    }
  }
});

/** Keys that nobody sees: behind the end of a sequence, above the diagonal, or where the mask says so. */
const hiding: readonly { problem: Partial<Problem>; first: number; end: number }[] = [
  { problem: { keyLengths: [50, 0] }, first: 50, end: 97 },
  { problem: { causal: { offset: -10 }, lengthQ: 40 }, first: 30, end: 97 },
  { problem: { causal: { offset: 5 }, lengthQ: 2 }, first: 7, end: 97 },
  { problem: { mask: true, lengthQ: 40 }, first: 12, end: 13 },
  { problem: { mask: true, lengthQ: 2, softcap: 2 }, first: 12, end: 13 },
];

Deno.test("what masked positions hold reaches neither ALiBi nor sinks nor their gradients", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  for (const { problem, first, end } of hiding) {
    const p: Problem = { ...small, ...dims, slopes: "h", sink: "random", ...problem };
    const clean = callOf(p), bad = callOf(p);
    for (const { options: { mask } } of [clean, bad]) {
      if (mask) { for (let i = 0; i < p.lengthQ; i++) mask.data[i * p.lengthK + first] = 0; }
    }
    for (const [tensor, dim] of [[bad.k, p.headDim], [bad.v, p.valueDim]] as const) {
      const data = tensor.data as Float32Array, row = p.kvHeads * dim;
      for (let b = 0; b < p.batch; b++) {
        const begin = b * p.lengthK;
        data.fill([NaN, Infinity][b], (begin + first) * row, (begin + end) * row);
      }
    }
    const [got, want] = [await run(engine, bad), await run(engine, clean)];
    assertSame(got, want);
    assertNear(want.gradients, new Reference(p, clean), p);
  }
});

Deno.test("an infinite score takes all the weight, from a sink too", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  for (const lengthQ of [40, 2]) {
    const p: Problem = { ...small, ...dims, lengthQ, slopes: "h", sink: "random", bias: true };
    const call = callOf(p), bias = call.options.bias as HostTensor, key = 7;
    (bias.data as Float32Array)[key] = Infinity; // head 0, query 0
    const { forward, gradients } = await run(engine, call);
    const { out, lse } = forward as Record<string, HostTensor>;
    assert.equal(lse.data[0], Infinity);
    const v = (call.v.data as Float32Array).subarray(key * p.kvHeads * p.valueDim).subarray(
      0,
      p.valueDim,
    );
    v.forEach((x, n) => assert.ok(Math.abs(x - out.data[n]) < 1e-6));
    for (const [name, { data }] of Object.entries<HostTensor>(gradients as never)) {
      assert.ok((data as Float32Array).every(Number.isFinite), `${name} stays finite`);
    }
  }
});

function assertSame(got: Results, want: Results): void {
  const wanted: Record<string, HostTensor> = { ...want.forward, ...want.gradients };
  for (const [name, { data }] of Object.entries<HostTensor>({ ...got.forward, ...got.gradients })) {
    (data as Float32Array).forEach((x, n) => {
      const y = wanted[name].data[n];
      assert.ok(Math.abs(x - y) <= 1e-5 * (1 + Math.abs(y)), `${name}[${n}] is ${x}, want ${y}`);
    });
  }
}

Deno.test("slopes and sinks may be strided or resident, and their gradients live beside them", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const p: Problem = { ...small, ...dims, slopes: "bh", sink: "random", causal: true };
  const call = callOf(p), want = await run(engine, call);
  const { alibiSlopes, sink } = call.options as { alibiSlopes: HostTensor; sink: HostTensor };
  const wide = new Float32Array(2 * 7).fill(NaN);
  for (let b = 0; b < 2; b++) {
    wide.set((alibiSlopes.data as Float32Array).subarray(b * 4, b * 4 + 4), b * 7);
  }
  const strided = { data: wide, shape: [2, 4], strides: [7, 1] };
  const options = { ...call.options, alibiSlopes: strided };
  assert.deepEqual(await run(engine, { ...call, options }), want);
  using slopes = engine.tensor(alibiSlopes.data as Float32Array, [2, 4]);
  using logits = engine.tensor(sink.data as Float32Array, [4]);
  const resident = { ...call.options, alibiSlopes: slopes, sink: logits };
  const { forward, gradients } = await run(engine, { ...call, options: resident });
  assert.deepEqual(forward, want.forward);
  const { dAlibiSlopes, dSink } = gradients as Record<string, typeof slopes>;
  const host = want.gradients as Record<string, HostTensor>;
  assert.deepEqual(await dAlibiSlopes.read(), host.dAlibiSlopes.data);
  assert.deepEqual(await dSink.read(), host.dSink.data);
  dAlibiSlopes.dispose();
  dSink.dispose();
});
