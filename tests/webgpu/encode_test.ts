/** Attention recorded into a caller's pass beside kernels of the caller's, and partial results merged on the GPU. */

import assert from "node:assert/strict";
import {
  type AttentionOptions,
  type AttentionResult,
  captured,
  type HostTensor,
  mergeAttention,
  scoreMod,
  type Tensor,
  UnsupportedError,
} from "../../mod.ts";
import type { GpuBuffer, GpuDevice } from "../../src/webgpu/device/api.ts";
import { hostTensor } from "../backends.ts";
import { decode, encode } from "../half.ts";
import { plainTensor } from "../inputs.ts";
import type { TestTensor } from "../reference/problem.ts";
import { deviceOf, forcedEngine, gpuEngine, gpuTest } from "./support.ts";
import { bufferOf, close, home, homes, place, sameBits } from "./tensors.ts";
import { mapTuple } from "../tuples.ts";

const [q, k, v] = mapTuple([1, 2, 3], (seed) => plainTensor(seed, [2, 40, 4, 32]));
const dOut = plainTensor(4, [2, 40, 4, 32]), options: AttentionOptions = { causal: true };

/** A kernel of the caller's: doubles every element of a buffer in place. */
function doubling(device: GpuDevice, buffer: GpuBuffer): (pass: object) => void {
  const code = `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&x)) { x[id.x] *= 2.0; }
}`;
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  }) as { getBindGroupLayout(index: number): object };
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  });
  return (pass) => {
    const compute = pass as ReturnType<
      ReturnType<GpuDevice["createCommandEncoder"]>["beginComputePass"]
    >;
    compute.setPipeline(pipeline);
    compute.setBindGroup(0, group);
    compute.dispatchWorkgroups(Math.ceil(buffer.size / 256));
  };
}

gpuTest("gradients of captured arrays are the host's: a pass cannot have them", async () => {
  using engine = await gpuEngine();
  const gains = captured(new Float32Array(4).fill(1), [4], { gradient: true });
  const learned = {
    ...options,
    scoreMod: scoreMod(({ score, head }) => score.mul(gains.at(head))),
  };
  const pass = deviceOf(engine).createCommandEncoder().beginComputePass();
  const saved = { q, k, v, ...await engine.attention(q, k, v, options) };
  assert.throws(
    () => engine.encodeBackward(pass, dOut, saved, learned),
    { name: "UnsupportedError", message: /gradient of a captured array.*attentionBackward/ },
  );
  pass.end();
});

gpuTest(
  "attention joins a caller's pass between two kernels of the caller's, in one submit",
  async () => {
    using engine = await gpuEngine();
    const device = deviceOf(engine),
      half = { ...q, data: q.data.map((x) => x / 2) as Float32Array };
    const want = await engine.attention(q, k, v, options);
    const wantBack = await engine.attentionBackward(dOut, { q, k, v, ...want }, options);
    const before = engine.memory.used;
    const tensors = mapTuple([half, k, v, dOut], (tensor) => place(engine, tensor));
    const [tq, tk, tv, tdOut] = tensors;
    device.pushErrorScope("validation");
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
    doubling(device, bufferOf(tq))(pass); // q = 2 (q / 2)
    const { out, lse } = engine.encode(pass, tq, tk, tv, options);
    const saved = { q: tq, k: tk, v: tv, out, lse };
    const back = engine.encodeBackward(pass, tdOut, saved, options);
    doubling(device, bufferOf(back.dv))(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
    assert.equal(await device.popErrorScope(), null);
    const got = await homes({ out, lse, ...back });
    for (const name of ["out", "lse"] as const) {
      sameBits(got[name]!, hostTensor(want[name] as HostTensor), name);
    }
    for (const name of ["dq", "dk"] as const) {
      sameBits(got[name]!, hostTensor(wantBack[name] as HostTensor), name);
    }
    const dv = hostTensor(wantBack.dv as HostTensor);
    sameBits(got.dv, { ...dv, data: dv.data.map((x) => 2 * x) as Float32Array }, "dv, doubled");
    for (const tensor of [...tensors, out, lse, back.dq, back.dk, back.dv]) tensor.dispose();
    assert.equal(engine.memory.used, before, "scratch of encoded calls goes with their results");
  },
);

gpuTest("encoding takes host operands, 16 bits, decode and empty problems", async () => {
  using engine = await gpuEngine();
  const device = deviceOf(engine);
  const narrow = ({ data, shape }: TestTensor) =>
    ({ data: encode(decode(data, "f32"), "f16", "bits"), shape, dtype: "f16" }) as const;
  const token = plainTensor(7, [1, 1, 8, 32]), cache = plainTensor(8, [1, 900, 2, 32]);
  const half = plainTensor(9, [2, 40, 2, 32]); // heads that share kernels with other tests
  const none = plainTensor(1, [1, 0, 4, 32]), some = plainTensor(1, [1, 3, 4, 32]);
  const pairs: readonly (readonly [TestTensor, TestTensor])[] = [
    ...[[q, k], [narrow(q), narrow(half)], [token, cache], [some, none], [none, some]] as const,
  ];
  for (const [a, b] of pairs) {
    const want = await homes(await engine.attention(a, b, b));
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
    const encoded = engine.encode(pass, a, b, b);
    pass.end();
    device.queue.submit([encoder.finish()]);
    for (const [name, tensor] of Object.entries(await homes(encoded))) {
      sameBits(tensor, want[name]!, `${name} of ${a.shape}`);
    }
  }
});

gpuTest(
  "encoding refuses what is no pass and what one pass cannot hold, and keeps nothing",
  async () => {
    using engine = await gpuEngine();
    for (const pass of [null, {}, deviceOf(engine).createCommandEncoder()]) {
      assert.throws(
        () => engine.encode(pass as never, q, k, v),
        /TypeError.*GPUComputePassEncoder/,
      );
    }
    const { engine: small } = await forcedEngine({ limits: { storageBinding: 4096 } });
    const encoder = deviceOf(small).createCommandEncoder(), pass = encoder.beginComputePass();
    const saved = { q, k, v, out: dOut, lse: plainTensor(5, [2, 4, 40]) };
    assert.throws(() => small.encodeBackward(pass, dOut, saved), UnsupportedError);
    assert.equal(small.memory.used, 0);
    pass.end();
    small.dispose();
  },
);

gpuTest("merging resident parts agrees with attention over all keys and with the CPU", async () => {
  using engine = await gpuEngine();
  for (const layout of ["bshd", "bhsd"] as const) {
    for (const valueDim of [32, 21]) {
      const shape = (length: number, heads: number, dim: number) =>
        layout === "bshd" ? [2, length, heads, dim] : [2, heads, length, dim];
      const query = plainTensor(1, shape(9, 4, 32));
      const parts = mapTuple([30, 1, 50], (n) =>
        [
          plainTensor(n, shape(n, 2, 32)),
          plainTensor(n + 1, shape(n, 2, valueDim)),
        ] as const);
      using rq = place(engine, query);
      const resident: AttentionResult<Tensor>[] = [], host: AttentionResult<HostTensor>[] = [];
      for (const [key, value] of parts) {
        resident.push(await engine.attention(rq, key, value, { layout }));
        host.push(await engine.attention(query, key, value, { layout }));
      }
      const nothing = { keyLengths: Int32Array.of(0, 0), layout }; // no kernel of its own
      resident.push(await engine.attention(rq, ...parts[0], nothing));
      const merged = engine.mergeAttention(resident, { layout });
      const want = mergeAttention(host, { layout });
      close(await home(merged.out), hostTensor(want.out), 1e-6, `out, ${layout} ${valueDim}`);
      close(await home(merged.lse), hostTensor(want.lse), 2e-6, `lse, ${layout} ${valueDim}`);
    }
  }
});

gpuTest("merging 16-bit parts rounds once, and parts that saw nothing give 0 and −∞", async () => {
  using engine = await gpuEngine();
  for (const dtype of ["f16", "bf16"] as const) {
    const tensor = (seed: number, shape: number[]): TestTensor => ({
      data: encode(Float64Array.from(plainTensor(seed, shape).data), dtype, "bits"),
      shape,
      dtype,
    });
    const rows = [1, 2, 3].map((seed) => tensor(seed, [1, 5, 2, 21]));
    const lse = [4, 5, 6].map((seed) => plainTensor(seed, [1, 2, 5]));
    const want = mergeAttention(rows.map((out, n) => ({ out, lse: lse[n]! })));
    const before = engine.memory.used;
    const resident = rows.map((out, n) => ({
      out: place(engine, out),
      lse: place(engine, lse[n]!),
    }));
    const merged = engine.mergeAttention(resident);
    assert.equal(merged.out.dtype, dtype);
    close(
      await home(merged.out),
      hostTensor(want.out),
      dtype === "f16" ? 1e-3 : 8e-3,
      `out ${dtype}`,
    );
    close(await home(merged.lse), hostTensor(want.lse), 1e-6, `lse ${dtype}`);
    for (const part of [...resident, merged]) {
      [part.out, part.lse].map((tensor) => tensor.dispose());
    }
    assert.equal(engine.memory.used, before);
  }
  using out = place(engine, plainTensor(1, [1, 2, 1, 3]));
  using lse = engine.tensor(new Float32Array([-Infinity, -Infinity]), [1, 1, 2]);
  const merged = engine.mergeAttention([{ out, lse }, { out, lse }]);
  assert.deepEqual([...(await home(merged.out)).data], [0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...(await home(merged.lse)).data], [-Infinity, -Infinity]);
});
