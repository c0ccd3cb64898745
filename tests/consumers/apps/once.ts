// The shortest script there is: one call on the default engine, no dispose. It must end by itself.
import { attention } from "@flashtile/attention";
import { inputs } from "./inputs.ts";
import type { OnceReport } from "./messages.ts";

const { q, k, v } = inputs();
const { out } = await attention(q, k, v, { causal: true });
const report: OnceReport = { length: out.data.length, at: Date.now() };
console.log(JSON.stringify(report));
