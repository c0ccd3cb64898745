/**
 * This library: `engine.attention` on resident tensors, as a user would call it.
 * @module
 */

import { shapes } from "../../cases.ts";
import { gpuOperands } from "../cases.ts";
import { openEngine } from "../../subjects/flashtile_webgpu.ts";
import type { PeerJob, PreparedPeer } from "./contender.ts";

export async function prepare(job: PeerJob): Promise<PreparedPeer> {
  const engine = await openEngine();
  const data = gpuOperands(job.case);
  const shape = shapes(job.case);
  const q = engine.tensor(data.q, shape.q);
  const k = engine.tensor(data.k, shape.kv);
  const v = engine.tensor(data.v, shape.kv);
  const options = { layout: "bhsd", causal: job.causal } as const;
  return {
    mostCalls: 2048,
    async run(calls) {
      for (let i = 0; i < calls; i++) {
        const { out, lse } = await engine.attention(q, k, v, options);
        out.dispose();
        lse.dispose();
      }
      await engine.synchronize();
    },
    async output() {
      const { out } = await engine.attention(q, k, v, options);
      return await out.read() as Float32Array;
    },
  };
}
