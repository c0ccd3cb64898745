// What the nodes of a cluster say of themselves, for a command line.
import { connectCluster } from "./client/cluster.ts";
import { type ConnectionWords, settingsOf } from "./command_line.ts";
import { outliveSockets } from "./late_sockets.ts";
import type { NodeStatus } from "./wire/requests.ts";

/** The status of each node, by name. */
export async function askStatus(words: ConnectionWords): Promise<readonly NodeStatus[]> {
  const release = outliveSockets();
  try {
    const client = await connectCluster(settingsOf(words, "status"));
    try {
      return await client.status();
    } finally {
      await client.close();
    }
  } finally {
    release();
  }
}
