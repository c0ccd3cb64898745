// What a cluster says of itself, as lines for a terminal.
import { connectCluster } from "./client/cluster.ts";
import type { NodeWords } from "./run_node.ts";

/** A line for each node of a cluster; the words are those of a node's command line. */
export async function statusText(words: NodeWords): Promise<string> {
  const { servers, cluster, name = "status", user, pass, token } = words;
  const client = await connectCluster({
    servers: servers?.split(",") ?? [],
    name,
    cluster,
    nats: {
      ...user !== undefined && { user },
      ...pass !== undefined && { pass },
      ...token !== undefined && { token },
    },
  });
  try {
    const rows = (await client.status()).map((node) => [
      node.name,
      node.backend,
      `${node.shards} shards`,
      `${node.rows} rows`,
      `${Math.round(node.bytes / 2 ** 20)} MiB`,
      `${node.jobs} calls`,
      `busy ${(node.busyMs / 1000).toFixed(1)} s`,
    ]);
    const width = (column: number) => Math.max(...rows.map((row) => row[column]!.length));
    const lines = rows.map((row) =>
      row.map((word, n) => word.padEnd(width(n))).join("  ").trimEnd()
    );
    return lines.length > 0 ? lines.join("\n") : `no node of cluster ${cluster ?? "main"}`;
  } finally {
    await client.close();
  }
}
