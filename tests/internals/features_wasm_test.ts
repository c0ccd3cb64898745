/** ALiBi and sinks on the CPU against their formulas in float64: both builds, one and two threads, all kernels. */

import assert from "node:assert/strict";
import {
  type AnyTensor,
  attentionBackwardSync,
  attentionSync,
  createEngine,
  type Engine,
  type HostTensor,
  type MaskTensor,
} from "../../mod.ts";
import { type Plan, planAttention } from "../../src/plan/wasm/plan.ts";
import type { CallOptions } from "../../src/problem/call_options.ts";
import { describeBackward } from "../../src/problem/problem.ts";
import { wasmConfigurations } from "../backends.ts";
import { decode, encode, type StorageType } from "../half.ts";
import { normalNumbers } from "../random.ts";

/** A call in numbers; the layout is bshd. */
interface Problem {
  readonly batch: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly lengthQ: number;
  readonly lengthK: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly dtype?: StorageType;
  readonly slopes?: "h" | "bh";
  readonly sink?: "random" | number;
  readonly bias?: boolean;
  readonly mask?: boolean;
  readonly softcap?: number;
  readonly causal?: CallOptions["causal"];
  readonly window?: CallOptions["window"];
  readonly keyLengths?: readonly number[];
}

const small = { batch: 2, queryHeads: 4, kvHeads: 2, lengthQ: 45, lengthK: 97 };
const dims = { headDim: 19, valueDim: 13 };
/** Enough work for two threads, and keys for two splits. */
const decodeShape = { batch: 1, queryHeads: 8, kvHeads: 1, lengthQ: 1, lengthK: 3000 };

const problems: readonly Problem[] = [
  { ...small, ...dims, slopes: "h" },
  { ...small, ...dims, slopes: "bh", causal: true, softcap: 3 },
  {
    ...small,
    ...dims,
    slopes: "bh",
    window: { left: 20, right: 4 },
    keyLengths: [60, 3],
    bias: true,
  },
  { ...small, ...dims, slopes: "h", causal: { offset: -7 }, mask: true, dtype: "f16" },
  { ...small, ...dims, sink: "random" },
  { ...small, ...dims, sink: "random", causal: { offset: -20 }, keyLengths: [97, 0] },
  { ...small, ...dims, sink: "random", softcap: 2, bias: true, mask: true, dtype: "bf16" },
  {
    ...small,
    ...dims,
    sink: "random",
    slopes: "bh",
    causal: true,
    window: { left: 9 },
    mask: true,
  },
  {
    ...small,
    ...dims,
    sink: "random",
    slopes: "h",
    softcap: 4,
    bias: true,
    kvHeads: 1,
    lengthQ: 90,
  },
  { ...small, ...dims, sink: 12, slopes: "h", causal: "top-left" },
  { ...small, ...dims, sink: -300, slopes: "h" },
  { ...small, ...dims, sink: -Infinity },
  { ...small, ...dims, sink: "random", slopes: "h", lengthK: 0 },
  { ...small, ...dims, sink: "random", slopes: "h", lengthQ: 0 },
  // decode
  { ...small, ...dims, sink: "random", slopes: "bh", lengthQ: 3, causal: true, mask: true },
  { ...small, ...dims, sink: "random", lengthQ: 2, lengthK: 0 },
  { ...small, ...dims, sink: "random", lengthQ: 1, keyLengths: [0, 40], slopes: "h" },
  { ...decodeShape, headDim: 128, valueDim: 130, sink: "random", slopes: "h" },
  { ...decodeShape, headDim: 128, valueDim: 128, sink: 5, slopes: "h", dtype: "f16" },
  { ...decodeShape, headDim: 128, valueDim: 128, sink: "random", mask: true, softcap: 3 },
  // backward in splits
  {
    ...{
      batch: 2,
      queryHeads: 2,
      kvHeads: 1,
      lengthQ: 130,
      lengthK: 800,
      headDim: 36,
      valueDim: 20,
    },
    ...{ sink: "random", slopes: "h", causal: true, softcap: 5 },
  },
  // several regions of rows
  {
    ...{
      batch: 1,
      queryHeads: 2,
      kvHeads: 1,
      lengthQ: 520,
      lengthK: 1600,
      headDim: 5,
      valueDim: 4,
    },
    ...{ sink: "random", slopes: "h", bias: true },
  },
];

interface Call {
  readonly q: HostTensor;
  readonly k: HostTensor;
  readonly v: HostTensor;
  readonly dOut: HostTensor;
  readonly dLse: HostTensor;
  readonly options: CallOptions;
}

function tensor(seed: number, shape: number[], dtype: StorageType = "f32", factor = 1): HostTensor {
  const n = shape.reduce((a, b) => a * b, 1);
  const data = encode(Float64Array.from(normalNumbers(seed, n, factor)), dtype, "bits");
  return { data, shape, ...(dtype === "f32" ? {} : { dtype }) } as HostTensor;
}

/** Mostly positive, as they are in models: scores of hundreds leave a float32 few digits. */
function slopesOf(shape: number[]): HostTensor {
  const { data } = tensor(7, shape, "f32", 0.1);
  return { data: (data as Float32Array).map((x, n) => n === 1 ? -0.01 : Math.abs(x)), shape };
}

function callOf(p: Problem): Call {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim, dtype } = p;
  const slopes = { h: [queryHeads], bh: [batch, queryHeads] };
  const sink = tensor(6, [queryHeads]);
  if (typeof p.sink === "number") (sink.data as Float32Array).fill(p.sink);
  const pairs = [1, queryHeads, lengthQ, lengthK];
  const mask: MaskTensor = {
    data: new Uint8Array(lengthQ * lengthK).map((_, n) => (n * 7919) % 13 < 8 ? 1 : 0),
    shape: [lengthQ, lengthK],
  };
  return {
    q: tensor(1, [batch, lengthQ, queryHeads, headDim], dtype),
    k: tensor(2, [batch, lengthK, kvHeads, headDim], dtype),
    v: tensor(3, [batch, lengthK, kvHeads, valueDim], dtype),
    dOut: tensor(4, [batch, lengthQ, queryHeads, valueDim], dtype),
    dLse: tensor(5, [batch, queryHeads, lengthQ]),
    options: {
      ...(p.slopes ? { alibiSlopes: slopesOf(slopes[p.slopes]) } : {}),
      ...(p.sink === undefined ? {} : { sink }),
      ...(p.bias ? { bias: tensor(8, pairs) } : {}),
      ...(p.mask ? { mask } : {}),
      ...(p.softcap ? { softcap: p.softcap } : {}),
      ...(p.causal ? { causal: p.causal } : {}),
      ...(p.window ? { window: p.window } : {}),
      ...(p.keyLengths ? { keyLengths: Int32Array.from(p.keyLengths) } : {}),
    },
  };
}

type Arrays = Record<string, Float64Array>;

function values(tensor: AnyTensor | undefined): ArrayLike<number> | undefined {
  if (!tensor) return undefined;
  const { data, dtype } = tensor as HostTensor;
  return data instanceof Uint16Array ? decode(data, dtype as StorageType) : data as Float32Array;
}

/** Results and gradients by the definition; `size`: sums of magnitudes, which errors are compared with. */
function reference(p: Problem, call: Call): { want: Arrays; size: Arrays } {
  const { batch, queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim } = p;
  const [q, k, v, dOut, dLse] = [call.q, call.k, call.v, call.dOut, call.dLse].map((t) =>
    values(t)!
  );
  const { alibiSlopes, sink: sinks, bias, mask, causal, window, softcap } = call.options;
  const slopes = values(alibiSlopes), logits = values(sinks), biases = values(bias);
  const lengths = {
    out: batch * lengthQ * queryHeads * valueDim,
    lse: batch * queryHeads * lengthQ,
  };
  const make = (): Arrays => ({
    out: new Float64Array(lengths.out),
    lse: new Float64Array(lengths.lse),
    dq: new Float64Array(q.length),
    dk: new Float64Array(k.length),
    dv: new Float64Array(v.length),
    ...(biases ? { dBias: new Float64Array(biases.length) } : {}),
    ...(slopes ? { dAlibiSlopes: new Float64Array(slopes.length) } : {}),
    ...(logits ? { dSink: new Float64Array(logits.length) } : {}),
  });
  const want = make(), size = make(), scale = 1 / Math.sqrt(headDim);
  const add = (name: string, at: number, x: number, magnitude = Math.abs(x)) => {
    want[name][at] += x;
    size[name][at] += magnitude;
  };
  for (let b = 0; b < batch; b++) {
    const keys = p.keyLengths?.[b] ?? lengthK;
    let offset = keys - lengthQ;
    if (causal === "top-left") offset = 0;
    if (typeof causal === "object") offset = causal.offset as number;
    for (let h = 0; h < queryHeads; h++) {
      const hk = Math.floor(h / (queryHeads / kvHeads));
      const slopeAt = slopes && slopes.length > queryHeads ? b * queryHeads + h : h;
      const logit = logits ? logits[h] : -Infinity;
      for (let i = 0; i < lengthQ; i++) {
        const row = (b * queryHeads + h) * lengthQ + i, d = i + offset;
        const at = (j: number) => (b * lengthK + j) * kvHeads + hk;
        const mine = (b * lengthQ + i) * queryHeads + h;
        const scores = new Map<number, [s: number, slope: number]>();
        for (let j = 0; j < keys; j++) {
          if (causal && j > d) continue;
          if (window && (j < d - (window.left ?? Infinity) || j > d + (window.right ?? Infinity))) {
            continue;
          }
          if (mask && !mask.data[i * lengthK + j]) continue;
          let s = 0, slope = 1;
          for (let x = 0; x < headDim; x++) s += q[mine * headDim + x] * k[at(j) * headDim + x];
          s *= scale;
          if (softcap) {
            slope = 1 - Math.tanh(s / softcap) ** 2;
            s = softcap * Math.tanh(s / softcap);
          }
          if (slopes) s -= slopes[slopeAt] * Math.abs(d - j);
          if (biases) s += biases[(h * lengthQ + i) * lengthK + j];
          scores.set(j, [s, slope]);
        }
        const m = Math.max(logit, ...[...scores.values()].map(([s]) => s));
        let l = m === -Infinity ? 0 : Math.exp(logit - m);
        for (const [s] of scores.values()) l += Math.exp(s - m);
        const lse = l === 0 ? -Infinity : m + Math.log(l);
        want.lse[row] = lse;
        let delta = 0, most = Math.abs(dLse[row]);
        for (const [j, [s]] of scores) {
          const weight = Math.exp(s - lse);
          for (let x = 0; x < valueDim; x++) {
            const y = weight * v[at(j) * valueDim + x];
            add("out", mine * valueDim + x, y);
            delta += y * dOut[mine * valueDim + x];
            most += Math.abs(y * dOut[mine * valueDim + x]);
          }
        }
        delta -= dLse[row];
        if (logits && logit > -Infinity) {
          const weight = Math.exp(logit - lse);
          add("dSink", h, -weight * delta, weight * most);
        }
        for (const [j, [s, slope]] of scores) {
          const weight = Math.exp(s - lse);
          let dp = 0, dpMost = most;
          for (let x = 0; x < valueDim; x++) {
            const y = dOut[mine * valueDim + x] * v[at(j) * valueDim + x];
            dp += y;
            dpMost += Math.abs(y);
            add("dv", at(j) * valueDim + x, weight * dOut[mine * valueDim + x]);
          }
          const ds = weight * (dp - delta), size = weight * dpMost, distance = Math.abs(d - j);
          if (biases) add("dBias", (h * lengthQ + i) * lengthK + j, ds, size);
          if (slopes) add("dAlibiSlopes", slopeAt, -ds * distance, size * distance);
          for (let x = 0; x < headDim; x++) {
            const [byQ, byK] = [k[at(j) * headDim + x], q[mine * headDim + x]];
            add("dq", mine * headDim + x, ds * slope * scale * byQ, size * scale * Math.abs(byQ));
            add("dk", at(j) * headDim + x, ds * slope * scale * byK, size * scale * Math.abs(byK));
          }
        }
      }
    }
  }
  return { want, size };
}

/** Relative to the magnitudes that were added up: a few roundings of what calls store between the passes. */
const BOUNDS: Readonly<Record<StorageType, number>> = { f32: 3e-6, f16: 1e-3, bf16: 8e-3 };

function assertNear(got: object, { want, size }: { want: Arrays; size: Arrays }, p: Problem): void {
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

const references = new Map<Problem, ReturnType<typeof reference>>();
function expected(p: Problem, call: Call): ReturnType<typeof reference> {
  if (!references.has(p)) references.set(p, reference(p, call));
  return references.get(p)!;
}

Deno.test("the problems above reach every kernel, KV splits, and regions of rows", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  const seen = new Set<string>();
  for (const p of problems) {
    const { q, k, v, options } = callOf(p), { kernel, parts } = engine.explain(q, k, v, options);
    seen.add(`${kernel}${parts > 1 ? " in splits" : ""}`);
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
      const p: Problem = {
        ...{ ...small, ...dims, lengthQ, sink: "random", causal: { offset: -1000 } },
      };
      const { q, k, v, options } = callOf(p), sink = values(options.sink)!;
      const { out, lse } = await engine.attention(q, k, v, options) as unknown as Call & {
        out: HostTensor;
        lse: HostTensor;
      };
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

Deno.test("what masked positions hold reaches neither ALiBi nor sinks nor their gradients", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 2 });
  for (const lengthQ of [40, 2]) {
    const p: Problem = {
      ...small,
      ...dims,
      lengthQ,
      slopes: "h",
      sink: "random",
      keyLengths: [50, 0],
    };
    const clean = callOf(p), bad = callOf(p);
    for (const [tensor, dim] of [[bad.k, p.headDim], [bad.v, p.valueDim]] as const) {
      const data = tensor.data as Float32Array, row = p.kvHeads * dim;
      data.fill(NaN, 50 * row, 97 * row);
      data.fill(Infinity, 97 * row);
    }
    const [got, want] = [await run(engine, bad), await run(engine, clean)];
    assertSame(got, want);
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
