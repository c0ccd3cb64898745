// `cluster status`: the nodes that are there, and what they hold.
import { type Command, defineCommand } from "../command.ts";
import { connectionFlags, withPackages } from "../flags/cluster.ts";
import { bytesText, table, timeText } from "../text.ts";

const HEAD = [
  ...["node", "backend", "shards", "rows", "memory", "calls", "waiting", "busy"],
  ...["answered", "p50", "p99"],
];

/** `cluster status`. */
export const clusterStatus: Command = defineCommand({
  name: "cluster status",
  summary: "Says which nodes a cluster has, and what they hold.",
  details:
    "A line for each node: shards of caches, rows and bytes in them, calls whose tensors it " +
    "holds, bytes of requests that wait, for how long it has computed, how many calls it has " +
    "answered, and the time that half of them, and 99 in a hundred, did not exceed. A cluster " +
    "without a node is an empty list. In Deno it needs --allow-net for the servers.",
  examples: [
    { what: "who is there", args: "cluster status --servers nats://127.0.0.1:4222" },
    { what: "the same as data", args: "cluster status --servers nats://127.0.0.1:4222 --json" },
  ],
  flags: connectionFlags,
  run: async (values) => {
    const load = () => import("../../cluster/ask_status.ts");
    const nodes = await withPackages(load, ({ askStatus }) => askStatus(values));
    const rows = nodes.map((node) => [
      ...[node.name, node.backend, `${node.shards}`, `${node.rows}`, bytesText(node.bytes)],
      ...[`${node.jobs}`, bytesText(node.pending), timeText(node.busyMs), `${node.answered}`],
      ...[node.p50Ms, node.p99Ms].map((ms) => ms === undefined ? "" : timeText(ms)),
    ]);
    const none = `cluster ${values.cluster ?? "main"} has no node`;
    return { data: nodes, text: nodes.length > 0 ? table(HEAD, rows) : none };
  },
});
