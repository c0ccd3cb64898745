/** Causal attention on tensors in GPU memory; on WASM where there is no GPU: `deno run examples/webgpu.ts`. */
import { createEngine } from "../mod.ts";

const shape = [1, 1024, 8, 64]; // batch, length, heads, headDim
const size = shape.reduce((product, n) => product * n, 1);
const random = () => Float32Array.from({ length: size }, () => Math.random() - 0.5);

// "auto" takes a hardware GPU that passes its test. An adapter in software, which is slower than WASM,
// is taken only with { backend: "webgpu", allowFallbackAdapter: true }.
using engine = await createEngine({ backend: "auto" });
console.log(`${engine.backend}: ${engine.reason}`);

// Copied once; they stay where the engine computes.
using q = engine.tensor(random(), shape);
using k = engine.tensor(random(), shape);
using v = engine.tensor(random(), shape);
const options = { causal: true };

await engine.attention(q, k, v, options); // the first call compiles
await engine.synchronize();
const begin = performance.now(), CALLS = 10;
for (let call = 0; call < CALLS; call++) {
  const { out, lse } = await engine.attention(q, k, v, options);
  out.dispose(); // results are resident as q is, and nothing was read back
  lse.dispose();
}
await engine.synchronize();
console.log(`${((performance.now() - begin) / CALLS).toFixed(2)} ms a call on resident tensors`);

const { out, lse } = await engine.attention(q, k, v, options);
console.log("out", out.shape, "begins with", (await out.read()).subarray(0, 4));
out.dispose();
lse.dispose();

// How it ran, and where the same call on host tensors would run.
const { kernel, tile, steps } = engine.explain(q, k, v, options);
console.log(`${kernel}, tiles of ${tile.rows} queries x ${tile.keys} keys`, steps);
const host = { data: random(), shape };
const { reason, estimates } = engine.explain(host, host, host, options);
console.log("host tensors:", reason, estimates);
