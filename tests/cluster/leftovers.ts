/** What calls and clients leave behind on nodes: nothing. And what may not stop a node or a call. `deno task test:cluster`. */

import assert from "node:assert/strict";
import { type Cluster, connectCluster, startNode } from "@flashtile/attention/cluster";
import { connect } from "@nats-io/transport-node";
import { encode } from "../../src/cluster/wire/message.ts";
import { clusterTest, startCluster, startNodeProcess } from "./processes.ts";
import { Twin } from "./twin.ts";

const rows = (n: number, dim = 16, batch = 1) => ({
  data: new Float32Array(batch * n * dim).fill(0.5),
  shape: [batch, n, 1, dim],
});

async function jobsGo(cluster: Cluster): Promise<void> {
  for (let n = 0; n < 100; n++) {
    const status = await cluster.status();
    if (status.length === 2 && status.every(({ jobs }) => jobs === 0)) return;
  }
  assert.fail("a node kept the tensors of a call that has ended");
}

clusterTest(
  "a call that ran out of time, or was aborted, leaves no tensors on a node",
  async () => {
    await using started = await startCluster(2, { deadline: 20_000 });
    const { cluster, nodes, server } = started, q = rows(40);
    const hurried = await connectCluster({
      servers: server.url,
      name: "hurried",
      deadline: 600,
      patience: 300,
    });
    nodes.get("n1")!.kill("SIGSTOP");
    await assert.rejects(hurried.attention(q, q, q), /shard 1 on node n1: no answer within 600 ms/);
    // an abort is heard while a node is waited for, which would be for 5 s
    const stop = new AbortController(), begin = performance.now();
    const call = cluster.attention(q, q, q, { signal: stop.signal });
    setTimeout(() => stop.abort(new Error("enough")), 100);
    await assert.rejects(call, /enough/);
    assert.ok(performance.now() - begin < 4000, "it waited for the node");
    nodes.get("n1")!.kill("SIGCONT");
    await jobsGo(cluster);
    await hurried.close();
  },
);

clusterTest(
  "an abort ends a query of a cache, and a read asked for beside a truncate ends",
  async () => {
    await using started = await startCluster(2);
    const { cluster, nodes } = started;
    await using twin = await Twin.open(cluster);
    await twin.append([0, 1, 2], 40);
    const stop = new AbortController(), q = { data: new Float32Array(64), shape: [1, 1, 4, 16] };
    const options = { causal: true, sequences: [0] };
    nodes.get("n1")!.kill("SIGSTOP");
    const call = cluster.attention(q, twin.cache, { ...options, signal: stop.signal });
    setTimeout(() => stop.abort(new Error("enough")), 50);
    const begin = performance.now();
    await assert.rejects(call, /enough/);
    assert.ok(performance.now() - begin < 4000, "it waited for the node");
    nodes.get("n1")!.kill("SIGCONT");
    // the read waits for the change before it, and the change for the reads before it
    await Promise.all([
      cluster.attention(q, twin.cache, options),
      twin.truncate(0, 10),
      cluster.attention(q, twin.cache, options),
    ]);
    await twin.step();
  },
);

/** Waits until no node has a request that it has not answered, or until that would be the end of what it computes. */
async function nodesRest(cluster: Cluster, busy: boolean): Promise<void> {
  for (let n = 0; n < 20; n++) {
    const waiting = (await cluster.status()).map(({ pending }) => pending);
    if (waiting.some((bytes) => bytes > 0) === busy) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(busy ? "no node began" : "a node computes what nobody waits for");
}

clusterTest("what was given up is computed no further", async () => {
  await using started = await startCluster(0, { deadline: 120_000, patience: 60_000 });
  const { cluster, server } = started, keys = 200_000, heads = 4;
  // its calling thread hears while another one computes
  await using _node = await startNodeProcess(server.url, "n", ["--threads", "2"]);
  await cluster.nodes();
  const random = (n: number, heads: number) => ({
    data: Float32Array.from({ length: n * heads * 16 }, (_, i) => Math.sin(1.3 * i)),
    shape: [1, n, heads, 16],
  });
  const q = random(16_384, heads), few = random(50_000, 1);
  await using cache = await cluster.kvCache({
    ...{ sequences: 1, kvHeads: 1, headDim: 16, dtype: "f16", pages: 2 * keys / 64 },
  });
  for (let n = 0; n < keys; n += 50_000) await cache.append(few, few);
  // each would take more than the time that nodes are looked at
  for (
    const begin of [
      (signal: AbortSignal) => cluster.attention(q, few, few, { signal }),
      (signal: AbortSignal) => cluster.attention(q, cache, { signal }),
    ]
  ) {
    const stop = new AbortController(), call = begin(stop.signal);
    call.catch(() => {});
    await nodesRest(cluster, true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    stop.abort(new Error("enough"));
    await assert.rejects(call, /enough/);
    await nodesRest(cluster, false);
  }
  assert.equal((await cluster.attention(rows(1), cache)).out.data.length, 16);
});

clusterTest("parts of a call that has failed are asked for no more", async () => {
  await using started = await startCluster(2, { deadline: 20_000, patience: 300, grace: 300 });
  const { cluster, nodes, server } = started, q = rows(40);
  await using twin = await Twin.open(cluster, { shards: 2 });
  await twin.append([0], 40);
  const stranger = await connect({ servers: server.url }), heard: string[] = [];
  stranger.subscribe("flashtile.v1.main.node.*.*", {
    callback: (_, { subject }) => void heard.push(subject.split(".").at(-1)!),
  });
  await stranger.flush();
  nodes.get("n1")!.kill("SIGSTOP");
  // the first part is there, and who hears of it wants no more
  const signal = {
    throwIfAborted: () => {},
    progress: () => {
      throw new Error("enough of this");
    },
  };
  const begin = performance.now();
  await assert.rejects(cluster.attention(q, q, q, { signal }), /enough of this/);
  assert.ok(performance.now() - begin < 10_000, "it waited for the other part");
  nodes.get("n0")!.kill("SIGKILL");
  await assert.rejects(twin.check([0]), /shard 0 on node n0: /);
  await stranger.flush();
  heard.length = 0;
  await new Promise((resolve) => setTimeout(resolve, 3000)); // it would be asked again three times
  assert.deepEqual(heard.filter((what) => what !== "drop"), []);
  nodes.get("n1")!.kill("SIGCONT");
  await stranger.close();
});

clusterTest(
  "a node outlives messages that say nothing, and rows of thousands of sequences",
  async () => {
    await using started = await startCluster(1);
    const { cluster, server } = started, many = 9000;
    const stranger = await connect({ servers: server.url });
    await using cache = await cluster.kvCache({
      ...{ sequences: many, kvHeads: 1, headDim: 4, pageSize: 1, pages: 2 * many },
    });
    for (const subject of ["cache.*", "node.>"]) {
      const heard = stranger.subscribe(`flashtile.v1.main.${subject}`, {
        max: 1,
        callback: (_, message) => stranger.publish(message.subject, encode({})),
      });
      assert.ok(!heard.isClosed());
    }
    await stranger.flush();
    // what the header says of each row is larger than the row
    await cache.append(rows(1, 4, many), rows(1, 4, many));
    for (let n = 0; n < 2; n++) {
      await cluster.attention(rows(1, 4), cache, { sequences: [n] });
      await stranger.flush();
    }
    assert.equal((await cluster.status())[0]?.rows, many);
    await stranger.close();
  },
);

clusterTest(
  "a connection of the caller's outlives nodes and clients, which stop listening",
  async () => {
    await using started = await startCluster(0);
    const connection = await connect({ servers: started.server.url });
    const listeners = () => {
      const { protocol } = connection as unknown as { protocol: { listeners: unknown[] } };
      return protocol.listeners.length;
    };
    const before = listeners();
    const node = await startNode({
      connection,
      name: "n",
      engine: { threads: 1, backend: "wasm" },
    });
    const client = await connectCluster({ connection, name: "c" });
    assert.equal(listeners(), before + 2);
    await client.close();
    await node.drain();
    await node.closed; // though the connection is not
    assert.equal(listeners(), before);
    assert.ok(!connection.isClosed());
    await connection.close();
  },
);

clusterTest("options that mean nothing are refused before anything is sent", async () => {
  await using started = await startCluster(1);
  const { cluster, server } = started, at = { servers: server.url, name: "x" }, q = rows(4);
  const wrong = (options: object) => connectCluster({ ...at, ...options });
  await assert.rejects(
    wrong({ deadline: NaN }),
    /^RangeError: Cannot run connectCluster: deadline is NaN/,
  );
  await assert.rejects(
    wrong({ patience: "5" }),
    /^TypeError: .* patience is "5" but must be a number/,
  );
  await assert.rejects(wrong({ lease: 0 }), /lease is 0 but must be milliseconds above 0/);
  await assert.rejects(wrong({ wire: "f16" }), /wire is "f16" but must be "f32" or "bf16"/);
  await assert.rejects(
    startNode({ ...at, jobBytes: -1 }),
    /^RangeError: Cannot run startNode: jobBytes is -1 but must be a number of bytes/,
  );
  const call = (options: object) => cluster.attention(q, q, q, options);
  await assert.rejects(
    call({ verify: "sample" }),
    /^UnsupportedError: the option verify of attention/,
  );
  await assert.rejects(call({ wire: 16 }), /^TypeError: Cannot run attention: wire is 16/);
  await assert.rejects(call({ signal: {} }), /^TypeError: Cannot run attention: signal is/);
  const sizes = { sequences: 1, kvHeads: 1, headDim: 16, pages: 8 };
  await assert.rejects(
    cluster.kvCache({ ...sizes, replica: 2 } as typeof sizes),
    /unknown name "replica".* replicas, shards, stripe$/,
  );
  await assert.rejects(
    cluster.kvCache(undefined as unknown as typeof sizes),
    /^TypeError: Cannot run kvCache: options is undefined but must be/,
  );
});
