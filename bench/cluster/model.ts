/** The cost model of docs/cluster.md beside what node processes of this machine do, and what it says of ten thousand nodes. */

import { connectCluster, type HostTensor } from "@flashtile/attention/cluster";
import { connect } from "@nats-io/transport-node";
import { startCluster } from "../../tests/cluster/processes.ts";
import { randomNumbers } from "../../tests/random.ts";
import type { Results } from "../measure/store.ts";
import { median } from "./report.ts";

const KV_HEADS = 8, HEADS = 32, DIM = 64, CHUNK = 8192;
/** Bytes of q, and of one reply, without what the header says. */
const Q_BYTES = 4 * HEADS * DIM, REPLY_BYTES = 4 * HEADS * (DIM + 1);

/** One query of a cache, in the middle of many. */
interface Measured {
  readonly nodes: number;
  readonly keys: number;
  readonly total: number;
  /** Of the shard that took longest. */
  readonly slowest: number;
  /** Bytes of a step that left the client, and came. */
  readonly out: number;
  readonly in: number;
}

function rows(n: number, heads: number): HostTensor {
  const data = Uint16Array.from({ length: n * heads * DIM }, (_, i) => 0x2c00 + i % 0x1000);
  return { data, shape: [1, n, heads, DIM], dtype: "f16" };
}

/** Decodes over so many nodes at each of some lengths. */
async function measure(
  nodes: number,
  lengths: readonly number[],
  steps: number,
): Promise<Measured[]> {
  await using started = await startCluster(nodes);
  const connection = await connect({ servers: started.server.url });
  const cluster = await connectCluster({ connection, name: "model", deadline: 120_000 });
  const pages = Math.ceil(lengths.at(-1)! / 64) + 8 * nodes, found: Measured[] = [];
  const sizes = { sequences: 1, kvHeads: KV_HEADS, headDim: DIM, pageSize: 64, pages };
  const cache = await cluster.kvCache({ ...sizes, dtype: "f16" });
  const q = { data: new Float32Array(HEADS * DIM).fill(0.1), shape: [1, 1, HEADS, DIM] };
  for (const keys of lengths) {
    for (let held = cache.length(0); held < keys; held = cache.length(0)) {
      const chunk = rows(Math.min(CHUNK, keys - held), KV_HEADS);
      await cache.append(chunk, chunk);
    }
    await cluster.attention(q, cache);
    const totals: number[] = [], slowest: number[] = [], before = connection.stats();
    for (let n = 0; n < steps; n++) {
      const { timing } = await cluster.attention(q, cache);
      totals.push(timing.total);
      slowest.push(Math.max(...timing.parts));
    }
    const after = connection.stats();
    found.push({
      ...{ nodes, keys, total: median(totals), slowest: median(slowest) },
      out: (after.outBytes - before.outBytes) / steps,
      in: (after.inBytes - before.inBytes) / steps,
    });
  }
  await cluster.close();
  await connection.close();
  return found;
}

/** What a step costs, in milliseconds. */
interface Costs {
  /** Of one key on one node. */
  readonly key: number;
  /** Of a call on a node, whatever it reads. */
  readonly call: number;
  /** On the client: of a step, and of each reply. */
  readonly once: number;
  readonly reply: number;
}

/** The formula: nodes compute beside each other as far as there are cores for them, and replies pass one by one. */
function modelled(
  { key, call, once, reply }: Costs,
  keys: number,
  nodes: number,
  cores: number,
): { readonly slowest: number; readonly total: number } {
  const slowest = key * keys / Math.min(nodes, cores) + call * Math.max(1, nodes / cores);
  return { slowest, total: slowest + once + nodes * reply };
}

/** The same played through: each node ends when it does, and its reply waits for those before it. */
function simulated(
  { key, call, once, reply }: Costs,
  keys: number,
  nodes: number,
  seed: number,
): number {
  const random = randomNumbers(seed);
  // nodes are within 10 % of each other
  const ends = Array.from(
    { length: nodes },
    () => (key * keys / nodes + call) * (0.9 + 0.2 * random()),
  );
  return once + ends.sort((a, b) => a - b).reduce((free, end) => Math.max(free, end) + reply, 0);
}

const ms = (x: number) => x >= 100 ? x.toFixed(0) : x.toPrecision(3);

/** Fits the costs to one node, and replies to the most nodes; says what they predict of the rest. */
function compare(all: readonly Measured[], cores: number, results: Results): Costs {
  const most = Math.max(...all.map(({ nodes }) => nodes));
  const lengths = all.map(({ keys }) => keys), long = Math.max(...lengths);
  const short = Math.min(...lengths);
  const at = (n: number, length: number) =>
    all.find(({ nodes, keys }) => nodes === n && keys === length)!;
  const key = (at(1, long).slowest - at(1, short).slowest) / (long - short);
  const beyond = ({ total, slowest }: Measured) => total - slowest;
  const reply = (beyond(at(most, long)) - beyond(at(1, long))) / (most - 1);
  const call = at(1, short).slowest - key * short, once = beyond(at(1, long)) - reply;
  const costs = { key, call, once, reply };
  console.log(
    `fitted: ${ms(1e6 * key)} ns a key, ${ms(call)} ms a call on a node, ${
      ms(once)
    } ms a step and ` +
      `${ms(reply)} ms a reply on the client`,
  );
  for (const one of all) {
    const { slowest, total } = modelled(costs, one.keys, one.nodes, cores);
    results.add("cluster-model", {
      ...{ nodes: one.nodes, keys: one.keys, modelMs: total, measuredMs: one.total },
      ...{ modelSlowestMs: slowest, measuredSlowestMs: one.slowest, replyMs: reply },
      ...{ bytesOut: one.out, bytesIn: one.in },
    });
    console.log(
      `${one.nodes} nodes, ${one.keys} keys: model ${ms(total)} ms, measured ${
        ms(one.total)
      } ms; ` +
        `slowest shard ${ms(slowest)}, measured ${
          ms(one.slowest)
        }; out ${Q_BYTES} bytes, measured ` +
        `${one.out.toFixed(0)}; in ${one.nodes * REPLY_BYTES}, measured ${one.in.toFixed(0)}`,
    );
  }
  return costs;
}

/** What the model says of many nodes of their own, on links of 10 Gbit/s, each reading 100 GB/s. */
function extrapolate(perReply: number): void {
  const key = 4 * KV_HEADS * DIM / 100e6, wire = REPLY_BYTES / 1.25e6, keys = 2 ** 20;
  for (const [what, reply] of [["the wire alone", wire], ["replies as here", perReply]] as const) {
    const costs = { key, call: 0, once: 0.2, reply }, best = Math.sqrt(key * keys / reply);
    console.log(
      `${keys} keys, ${what}: ${ms(1000 * reply)} µs a reply, least at ${ms(best)} nodes`,
    );
    for (const nodes of [1, 8, Math.max(1, Math.round(best)), 100, 1000, 10_000]) {
      console.log(
        `  ${nodes} nodes: formula ${
          ms(modelled(costs, keys, nodes, Infinity).total)
        } ms, simulated ${ms(simulated(costs, keys, nodes, nodes))} ms, ${
          nodes * REPLY_BYTES
        } bytes a token`,
      );
    }
  }
}

/** Model and measurement side by side. */
export async function model(longest: number, steps: number, results: Results): Promise<void> {
  const all: Measured[] = [];
  for (const nodes of [1, 2, 4, 8]) all.push(...await measure(nodes, [2048, longest], steps));
  extrapolate(compare(all, navigator.hardwareConcurrency, results).reply);
}
