/** Nodes and servers that fail. Rows must be neither lost nor wrong, and a call ends within its deadline. */

import assert from "node:assert/strict";
import { ClusterError, connectCluster } from "@flashtile/attention/cluster";
import { connect } from "@nats-io/transport-node";
import {
  type Child,
  clusterTest,
  startCluster,
  startNodeProcess,
  type TestCluster,
} from "./processes.ts";
import { Proxy } from "./proxy.ts";
import { randomFaults } from "./random_faults.ts";
import { Twin } from "./twin.ts";

/** Rejects with what names a shard and a node, and not later than `ms`. */
async function lost(call: Promise<unknown>, node: string, ms: number): Promise<void> {
  const begin = performance.now();
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof ClusterError, `${error}`);
    assert.ok(error.shard !== undefined);
    assert.equal(error.node, node);
    assert.match(
      error.message,
      new RegExp(`^Cannot run \\w+: shard ${error.shard} on node ${node}: `),
    );
    return true;
  });
  assert.ok(performance.now() - begin < ms + 3000, "the deadline has passed");
}

/** Ends a process at once. */
async function kill(child: Child | undefined): Promise<void> {
  child!.kill("SIGKILL");
  await child!.status;
}

/** Waits until a node's statistics say something. */
async function until({ cluster }: TestCluster, what: (shards: number[]) => boolean): Promise<void> {
  for (let n = 0; n < 200; n++) {
    if (what((await cluster.status()).map(({ shards }) => shards))) return;
  }
  assert.fail("the nodes never said so");
}

clusterTest("with two replicas a node may die, and repair makes a new replica", async () => {
  await using started = await startCluster(3, { deadline: 20_000, grace: 500 });
  await using twin = await Twin.open(started.cluster, { replicas: 2, dtype: "i8" });
  const { cache } = twin;
  await twin.append([0, 1, 2], 40);
  for (let n = 0; n < 12; n++) {
    if (n === 4) started.nodes.get("n1")!.kill("SIGKILL");
    await twin.step();
  }
  assert.equal(cache.missing, 2); // n1 had two of the six
  await cache.truncate(1, cache.length(1)); // nothing, but all shards hear of it
  await started.add("n3");
  assert.equal(await cache.repair(), 0);
  assert.ok(cache.holders.every((names) => names.length === 2 && !names.includes("n1")));
  await twin.check([0, 2, 1], 5);
  // now the copies must have it all
  await kill(started.nodes.get("n0"));
  await twin.check([0, 1, 2], 5);
  await twin.step();
  assert.deepEqual([...cache.lengths], [53, 53, 53]);
});

clusterTest("without replicas a dead node is named, and nothing else is lost", async () => {
  await using started = await startCluster(2, { deadline: 4000, grace: 300 });
  const { cluster, nodes } = started;
  await using twin = await Twin.open(cluster);
  await twin.append([0, 1], 16); // two stripes: one on each node
  await twin.check([0, 1]);
  await kill(nodes.get("n1"));
  await lost(twin.check([0]), "n1", 4000);
  await lost(twin.append([0, 1], 16), "n1", 4000);
  assert.deepEqual([...twin.cache.lengths], [16, 16, 0]);
  // another node under the name does not have the rows
  await started.add("n1");
  await lost(twin.check([0]), "n1", 4000);
  // others go on
  await using other = await Twin.open(cluster);
  await other.append([0], 40);
  await other.step([0]);
});

clusterTest("a server may go away and come back", async () => {
  await using started = await startCluster(3, { deadline: 20_000 });
  await using twin = await Twin.open(started.cluster);
  await twin.append([0, 1, 2], 50);
  const away = (async () => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    await started.server.stop();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await started.server.again();
  })();
  for (let n = 0; n < 30; n++) await twin.step();
  await away;
  await twin.step();
  assert.equal(twin.cache.missing, 0);
});

clusterTest("a node that was back with the server and then died is gone at once", async () => {
  // while the server is on its way a node may take four times as long, which is more than the deadline
  await using started = await startCluster(2, { deadline: 5000, grace: 1500 });
  await using twin = await Twin.open(started.cluster);
  await twin.append([0, 1], 16);
  await started.server.stop();
  await started.server.again();
  await twin.step([0, 1]);
  await twin.append([0, 1], 16); // both nodes have answered
  await kill(started.nodes.get("n1"));
  await assert.rejects(twin.append([0, 1], 16), /shard \d on node n1: the node is gone$/);
});

clusterTest("a node that hangs is asked elsewhere, and is the same node afterwards", async () => {
  await using started = await startCluster(2, { deadline: 2500, patience: 300 });
  const { cluster, nodes } = started;
  await using alone = await Twin.open(cluster, { shards: 2 });
  await using twin = await Twin.open(cluster, { replicas: 2 });
  await alone.append([0], 30);
  await twin.append([0, 1], 30);
  nodes.get("n1")!.kill("SIGSTOP");
  await twin.check([0, 1]);
  await lost(alone.check([0]), "n1", 2500);
  await lost(alone.append([0], 30), "n1", 2500);
  nodes.get("n1")!.kill("SIGCONT");
  await alone.step([0]);
  await twin.step();
  assert.equal(twin.cache.missing, 0);
  // an append does not wait for it as long as a call may take: the replica is lost, and made anew
  nodes.get("n0")!.kill("SIGSTOP");
  await twin.step();
  assert.equal(twin.cache.missing, 2);
  nodes.get("n0")!.kill("SIGCONT");
  assert.equal(await twin.cache.repair(), 0);
  nodes.get("n1")!.kill("SIGSTOP");
  await twin.check([0, 1, 2]);
  nodes.get("n1")!.kill("SIGCONT");
});

clusterTest("links that break, with messages on them, lose nothing", async () => {
  await using started = await startCluster(1, { deadline: 20_000, patience: 500 });
  await using proxy = await Proxy.to(started.server.port);
  await using _node = await startNodeProcess(`nats://127.0.0.1:${proxy.port}`, "far");
  await using twin = await Twin.open(started.cluster);
  await twin.append([0, 1, 2], 60);
  for (let n = 0; n < 24; n++) {
    if (n % 4 === 0) setTimeout(() => proxy.cut(), n);
    if (n === 10) setTimeout(() => proxy.swallow(2000), 1);
    await twin.step();
  }
  assert.equal(twin.cache.missing, 0);
  assert.ok(proxy.cuts >= 5);
});

clusterTest("SIGTERM lets a node end what it has, and leave", async () => {
  await using started = await startCluster(2, { deadline: 10_000, grace: 300 });
  const { cluster, nodes } = started;
  await using twin = await Twin.open(cluster, { replicas: 2, pages: 40_000 });
  await twin.append([0], 6000);
  const calls = Array.from({ length: 4 }, () => twin.check([0], 16));
  nodes.get("n0")!.kill("SIGTERM");
  await Promise.all(calls);
  assert.equal((await nodes.get("n0")!.status).code, 0);
  await twin.step([0]);
});

clusterTest("what a client had goes with its lease, and not while the server is away", async () => {
  await using started = await startCluster(2);
  const connection = await connect({ servers: started.server.url, name: "gone" });
  const client = await connectCluster({ connection, name: "gone", lease: 1000 });
  await using _kept = await Twin.open(started.cluster); // its client goes on: two shards
  const twin = await Twin.open(client);
  await twin.append([0], 20);
  await until(started, (shards) => shards.join() === "2,2");
  await new Promise((resolve) => setTimeout(resolve, 2200)); // alive: the lease is renewed
  await twin.check([0]);
  await connection.close(); // the process is gone, as far as anyone can see
  await until(started, (shards) => shards.join() === "1,1");
  await client.close();
});

clusterTest("some seconds of random faults lose nothing", async () => {
  const { counts, steps, missing } = await randomFaults({ seconds: 5, every: 500 });
  assert.ok(steps > 10 && counts["killed"]! > 0, `${steps} steps, ${JSON.stringify(counts)}`);
  assert.equal(missing, 0);
});
