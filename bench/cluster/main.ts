// What a cluster costs and survives, on node processes of this machine. Needs nats-server.
//
//   deno task bench:cluster [--only=decode,faults,model,passes,soak] [--keys=1048576] [--nodes=4] [--seconds=600]
//     [--repeats=7] [--store]
import { parseArgs } from "node:util";
import { describeMachine, machineLine } from "../measure/machine.ts";
import { Results } from "../measure/store.ts";
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
    repeats: { type: "string", default: "7" },
    store: { type: "boolean", default: false },
  },
});
const { only, store, ...numbers } = values;
const { keys, nodes, tokens, heads, seconds, pause, steps, repeats } = Object.fromEntries(
  Object.entries(numbers).map(([name, text]) => [name, Number(text)]),
) as Record<keyof typeof numbers, number>;
const results = new Results(), machine = describeMachine();
console.log(machineLine(machine));
const sections: Readonly<Record<string, () => Promise<void>>> = {
  decode: () => decode([65536, keys], steps, nodes, results),
  faults: () => faults(pause, results),
  model: () => model(65536, steps, results),
  passes: () => passes(tokens, heads, nodes, repeats, results),
  soak: () => soak(seconds, pause, results),
};
for (const name of only.split(",")) {
  const run = sections[name];
  if (!run) throw new RangeError(`--only=${name}: known are ${Object.keys(sections).join(", ")}`);
  await run();
  if (store) results.store(machine); // a run that is cut off keeps the sections before
}
