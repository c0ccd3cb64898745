// `cluster node`: a node that stays until it is told to stop.
import { type Command, defineCommand } from "../command.ts";
import { connectionFlags, withPackages, wordKind } from "../flags/cluster.ts";
import { engineFlags, engineOptions } from "../flags/engine.ts";
import { bytesText, timeText } from "../text.ts";
import { valueFlag } from "../values.ts";

/** `cluster node`. */
export const clusterNode: Command = defineCommand({
  name: "cluster node",
  summary: "Is a node of a cluster until SIGTERM or Ctrl-C drains it.",
  details:
    "A node holds shards of keys and values, and computes over them. It says on stderr that " +
    "it is there; once it is stopped it takes no more, ends what it has, and leaves with exit " +
    "code 0. A second signal ends it at once. In Deno it needs --allow-net for the servers.",
  examples: [
    {
      what: "a node with a name",
      args: "cluster node --servers nats://127.0.0.1:4222 --name rack-7",
    },
    {
      what: "two threads of this machine, for another cluster on the same servers",
      args: "cluster node --servers nats://a:4222,nats://b:4222 --cluster trial --threads 2",
    },
  ],
  flags: {
    ...connectionFlags,
    name: valueFlag("--name", wordKind, "What it is called. Default: node- and its process."),
    ...engineFlags,
  },
  run: async (values, { signal, stderr }) => {
    const engine = engineOptions(values);
    const load = () => import("../../cluster/run_node.ts");
    const last = await withPackages(
      load,
      ({ runNode }) => runNode({ ...values, engine }, signal, (line) => stderr(`${line}\n`)),
    );
    const { name, shards, rows, bytes, busyMs } = last;
    const held = `${shards} shard${shards === 1 ? "" : "s"}, ${rows} rows, ${bytesText(bytes)}`;
    return {
      data: last,
      text: `node ${name} was drained: it had ${held} and was busy for ${timeText(busyMs)}`,
    };
  },
});
