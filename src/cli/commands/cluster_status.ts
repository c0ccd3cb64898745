// `cluster status`: the nodes that are there, and what they hold.
import { type Command, defineCommand } from "../command.ts";
import { connectionFlags, withPackages } from "../flags/cluster.ts";
import { bytesText, table, timeText } from "../text.ts";

const HEAD = ["node", "backend", "shards", "rows", "memory", "calls", "waiting", "busy"];

/** `cluster status`. */
export const clusterStatus: Command = defineCommand({
  name: "cluster status",
  summary: "Says which nodes a cluster has, and what they hold.",
  details:
    "A line for each node: shards of caches, rows and bytes in them, calls whose tensors it " +
    "holds, bytes of requests that wait, and for how long it has computed. A cluster without a " +
    "node is an empty list. In Deno it needs --allow-net for the servers.",
  examples: [
    { what: "who is there", args: "cluster status --servers nats://127.0.0.1:4222" },
    { what: "the same as data", args: "cluster status --servers nats://127.0.0.1:4222 --json" },
  ],
  flags: connectionFlags,
  run: async (values) => {
    const load = () => import("../../cluster/ask_status.ts");
    const nodes = await withPackages(load, ({ askStatus }) => askStatus(values));
    const rows = nodes.map(({ name, backend, shards, rows, bytes, jobs, pending, busyMs }) => [
      ...[name, backend, `${shards}`, `${rows}`, bytesText(bytes), `${jobs}`],
      ...[bytesText(pending), timeText(busyMs)],
    ]);
    const none = `cluster ${values.cluster ?? "main"} has no node`;
    return { data: nodes, text: nodes.length > 0 ? table(HEAD, rows) : none };
  },
});
