// What each consumer runs: one forward and one backward pass. Written as a user would write it, so it
// is the same text for Deno (as TypeScript), Node and workerd (compiled by tsc).
import { attention, attentionBackward, type Engine, type HostTensor } from "@flashtile/attention";
import { inputs } from "./inputs.ts";
import type { Numbers } from "./messages.ts";

const list = ({ data }: HostTensor): number[] => Array.from(data);

/** Forward and backward, on the default engine when none is given. */
export async function forwardBackward(engine?: Engine): Promise<Numbers> {
  const { q, k, v, dOut } = inputs();
  const options = engine ? { causal: true, engine } : { causal: true };
  const { out, lse } = await attention(q, k, v, options);
  const { dq, dk, dv } = await attentionBackward(dOut, { q, k, v, out, lse }, options);
  return { out: list(out), lse: list(lse), dq: list(dq), dk: list(dk), dv: list(dv) };
}

/** Threads that the forward call takes on an engine: shows that the work is large enough to share. */
export function threadsOf(engine: Engine): number {
  const { q, k, v } = inputs();
  return engine.explain(q, k, v, { causal: true }).threads;
}
