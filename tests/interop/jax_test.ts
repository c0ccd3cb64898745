/** jax-js and an engine on its device: arrays in, results into fresh arrays, gradients on both sides by `vjp`. */

import { attention, attentionBackward, createEngine } from "@flashtile/attention";
import type { Tensor } from "@flashtile/attention";
import { fromJax } from "@flashtile/attention/interop";
import * as jax from "@jax-js/jax";
import assert from "node:assert/strict";
import { assertNear, expected, normal, openDevice } from "./support.ts";

const { numpy: np } = jax;
const shape = [2, 24, 2, 16], x = normal("x", shape), w = normal("w", [16, 16], 0.3);
const options = { causal: true } as const;

type Three = [jax.Array, jax.Array, jax.Array];

/** What comes before attention, and what comes after it. */
const before = (x: jax.Array, w: jax.Array): Three => {
  const q = np.matmul(x.ref, w);
  return [q, x.ref.mul(0.5), x.mul(2)];
};
const after = (out: jax.Array): jax.Array => np.sum(np.sin(out));

Deno.test({
  name: "jax-js: results into fresh arrays, gradients by vjp on both sides",
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    if (!await openDevice()) return;
    await jax.init("webgpu");
    jax.defaultDevice("webgpu");
    using engine = await createEngine({ device: jax.getWebGPUDevice(), debug: true });
    const array = ({ data, shape }: typeof x) => np.array(data, { shape: [...shape] });
    const held = engine.memory.used;

    await t.step("forward", async () => {
      const q = array(x), k = q.ref.mul(0.5), v = q.ref.mul(2); // k and v are lazy
      const out = np.zeros(shape);
      const { lse } = await attention(
        await fromJax(engine, jax, q),
        await fromJax(engine, jax, k),
        await fromJax(engine, jax, v),
        { ...options, into: { out: await fromJax(engine, jax, out) } },
      );
      lse.dispose();
      const host = (factor: number) => ({ data: x.data.map((a) => a * factor), shape });
      const wanted = await expected(host(1), host(0.5), host(2), options);
      assertNear(await np.sin(out).data(), sine(wanted), "sin(out)");
      assertNear(await q.data(), x, "q, which is there as before");
      for (const one of [k, v]) one.dispose();
    });

    await t.step("16-bit floats", async () => {
      if (!engine.device!.features.has("shader-f16")) {
        return console.log("not run on webgpu: no shader-f16");
      }
      const half = array(x).astype(np.float16), tensor = await fromJax(engine, jax, half);
      const { out, lse } = await attention(tensor, tensor, tensor, options);
      assert.equal(out.dtype, "f16");
      const values = await out.read("f32"), { data } = await expected(x, x, x, options);
      const largest = Math.max(...data.map(Math.abs));
      // of operands and of the result
      const error = Math.max(...data.map((value, n) => Math.abs(value - values[n]!)));
      assert.ok(error <= largest * 2 ** -9, `differs by ${error}`);
      for (const one of [out, lse, half]) one.dispose();
    });

    await t.step("gradients", async () => {
      const [[q, k, v], pullBefore] = jax.vjp(before, [array(x), array(w)]);
      const out = np.zeros(shape), from = (one: jax.Array) => fromJax(engine, jax, one);
      const [rq, rk, rv] = [await from(q), await from(k), await from(v)];
      const into = { out: await from(out) };
      const saved = {
        ...{ q: rq, k: rk, v: rv },
        ...await attention(rq, rk, rv, { ...options, into }),
      };

      const [loss, pullAfter] = jax.vjp(after, [out.ref]);
      const [dOut] = pullAfter(np.ones([])) as [jax.Array];
      const gradients: Three = [np.zeros(shape), np.zeros(shape), np.zeros(shape)];
      const [dq, dk, dv] = await Promise.all(gradients.map(from)) as [Tensor, Tensor, Tensor];
      await attentionBackward(await from(dOut), saved, { ...options, into: { dq, dk, dv } });
      saved.lse.dispose();
      const [dx, dw] = pullBefore(gradients) as [jax.Array, jax.Array];

      const whole = (x: jax.Array, w: jax.Array) => {
        const [q, k, v] = before(x, w);
        return after(jax.nn.dotProductAttention(q, k, v, { isCausal: true }));
      };
      const [value, wanted] = await jax.valueAndGrad(whole, { argnums: [0, 1] })(
        array(x),
        array(w),
      );
      const values = async (one: jax.Array, shape: readonly number[]) => ({
        data: await one.data() as Float32Array<ArrayBuffer>,
        shape,
      });
      assertNear(await loss.data(), await values(value, []), "the loss");
      assertNear(await dx.data(), await values(wanted[0]!, shape), "dx");
      assertNear(await dw.data(), await values(wanted[1]!, [16, 16]), "dw");
      for (const one of [q, k, v, out, dOut]) one.dispose();
      for (const pull of [pullBefore, pullAfter]) pull.dispose();
    });

    await t.step("arrays and engines elsewhere are refused", async () => {
      const q = array(x);
      using other = await createEngine({ device: (await openDevice())! });
      await assert.rejects(fromJax(other, jax, q), {
        name: "RangeError",
        message: /^Cannot run fromJax: the engine computes on another device than jax-js/,
      });
      q.dispose();
    });
    assert.equal(engine.memory.used, held, "something is left on the GPU");
  },
});

function sine({ data, shape }: typeof x): typeof x {
  return { data: data.map(Math.sin), shape };
}
