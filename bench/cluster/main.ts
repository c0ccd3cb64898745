// What a cluster costs and survives, on node processes of this machine. Needs nats-server.
//
//   deno task bench:cluster [--only=decode,faults,model,passes,soak] [--keys=1048576] [--nodes=4] [--seconds=600]
import { parseArgs } from "node:util";
import { decode } from "./decode.ts";
import { faults, soak } from "./faults.ts";
import { model } from "./model.ts";
import { passes } from "./passes.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "decode,faults,model,passes,soak" },
    keys: { type: "string", default: `${2 ** 20}` },
    nodes: { type: "string", default: "4" },
    tokens: { type: "string", default: "16384" },
    heads: { type: "string", default: "2" },
    seconds: { type: "string", default: "600" },
    pause: { type: "string", default: "0" }, // milliseconds between steps
    steps: { type: "string", default: "15" },
  },
});
const nodes = Number(values.nodes), only = values.only.split(",");
if (only.includes("decode")) {
  await decode([65536, Number(values.keys)], Number(values.steps), nodes);
}
if (only.includes("faults")) await faults(Number(values.pause));
if (only.includes("model")) await model(65536, Number(values.steps));
if (only.includes("passes")) await passes(Number(values.tokens), Number(values.heads), nodes);
if (only.includes("soak")) await soak(Number(values.seconds), Number(values.pause));
