/** Forward and backward on small tensors: `deno run examples/quickstart.ts`. */
import { attention, attentionBackward, type HostTensor } from "../mod.ts";

function randomTensor(...shape: number[]): HostTensor {
  const size = shape.reduce((product, n) => product * n, 1);
  return { data: Float32Array.from({ length: size }, () => Math.random() - 0.5), shape };
}

const q = randomTensor(1, 128, 8, 64); // [batch, lengthQ, queryHeads, headDim]
const k = randomTensor(1, 128, 2, 64); // [batch, lengthK, kvHeads, headDim]: four query heads share one
const v = randomTensor(1, 128, 2, 64); // [batch, lengthK, kvHeads, valueDim]

const { out, lse } = await attention(q, k, v, { causal: true });
console.log("out", out.shape, "lse", lse.shape);

const dOut = randomTensor(...out.shape); // what a loss would send back
const { dq, dk, dv } = await attentionBackward(dOut, { q, k, v, out, lse }, { causal: true });
console.log("dq", dq.shape, "dk", dk.shape, "dv", dv.shape);
