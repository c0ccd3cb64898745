/** Caches of a cluster against the oracle, and how they refuse. `deno task test:cluster`. */

import assert from "node:assert/strict";
import { createEngine, type HostTensor } from "@flashtile/attention";
import {
  ClusterError,
  connectCluster,
  startNode,
  UnsupportedError,
} from "@flashtile/attention/cluster";
import { defineCase } from "../case.ts";
import { caseName } from "../case.ts";
import { grid, smallCases } from "../grid.ts";
import { checkCase, forwardPass } from "../run_grid.ts";
import { clusterTest, Server, startCluster, startNodeProcess } from "./processes.ts";
import { cacheSession, cacheTakes } from "./session.ts";

const rows = (n: number, heads: number, dim = 16, seed = 1): HostTensor => ({
  data: Float32Array.from({ length: n * heads * dim }, (_, i) => Math.sin(seed + 1.7 * i)),
  shape: [1, n, heads, dim],
});

/** The largest difference of two results. */
function distance(a: HostTensor, b: HostTensor): number {
  return Array.from(a.data).reduce((most, x, i) => Math.max(most, Math.abs(x - b.data[i]!)), 0);
}

const lengthy = [
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 1, lengthK: 700, causal: true }),
  defineCase({ queryHeads: 4, kvHeads: 2, lengthQ: 90, lengthK: 300, causal: true, sink: true }),
  defineCase({
    batch: 3,
    queryHeads: 2,
    lengthQ: 33,
    lengthK: 200,
    window: { left: 40 },
    causal: true,
  }),
  defineCase({
    batch: 2,
    queryHeads: 2,
    lengthQ: 5,
    lengthK: 90,
    causal: "top-left",
    layout: "bhsd",
  }),
  defineCase({ queryHeads: 2, lengthQ: 8, lengthK: 120, dtype: "f16", softcap: 3 }),
  defineCase({
    queryHeads: 2,
    lengthQ: 8,
    lengthK: 120,
    dtype: "bf16",
    keyLengths: [77],
    causal: true,
  }),
];

clusterTest("a cache on four nodes gives what the oracle gives", async (t) => {
  await using started = await startCluster(4);
  const session = cacheSession(started);
  const some = smallCases(grid).flatMap(({ cases }) => cases.filter(cacheTakes));
  const every = Math.ceil(some.length / 30); // the whole grid takes minutes
  for (const c of [...lengthy, ...some.filter((_, n) => n % every === 0)]) {
    await t.step(
      caseName(c),
      () =>
        checkCase(
          forwardPass,
          c,
          new Map([["a cache on 4 nodes", session]]),
          "tests/cluster/caches.ts",
        ),
    );
  }
  const status = await started.cluster.status();
  assert.deepEqual(status.map(({ name, shards, jobs }) => [name, shards, jobs]), [
    ["n0", 0, 0],
    ["n1", 0, 0],
    ["n2", 0, 0],
    ["n3", 0, 0],
  ]);
});

clusterTest("messages are cut under the payload limit of the server", async () => {
  const config = await Deno.makeTempFile({ suffix: ".conf" });
  await Deno.writeTextFile(config, "max_payload: 16384\n");
  await using started = await startCluster(2, {}, ["-c", config]);
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const { cluster } = started, sizes = { sequences: 1, kvHeads: 2, headDim: 16, pageSize: 16 };
  const whole = engine.kvCache({ ...sizes, pages: 50 });
  await using cache = await cluster.kvCache({ ...sizes, pages: 100, stripe: 10 });
  const [k, v, q] = [rows(777, 2), rows(777, 2, 16, 2), rows(300, 4, 16, 3)];
  whole.append(k, v);
  await cache.append(k, v); // 97 KiB
  const options = { causal: true };
  const { out } = await cluster.attention(q, cache, options); // 75 KiB there and back
  const want = await engine.attention(q, whole.keys, whole.values, options);
  const error = distance(out, want.out);
  assert.ok(error < 5e-6, `${error}`);
  await Deno.remove(config);
  // a query that no message can hold
  const wide = { data: new Float32Array(16 * 512), shape: [1, 1, 512, 16] };
  await assert.rejects(
    cluster.attention(wide, cache),
    /^RangeError: Cannot run attention: a query/,
  );
});

clusterTest("results repeat bit for bit, and bf16 on the wire is near", async () => {
  await using started = await startCluster(3);
  const { cluster } = started;
  await using cache = await cluster.kvCache({
    sequences: 1,
    kvHeads: 2,
    headDim: 16,
    pages: 300,
    stripe: 8,
  });
  await cache.append(rows(500, 2), rows(500, 2, 16, 2));
  const q = rows(2, 4, 16, 3), first = await cluster.attention(q, cache);
  for (let n = 0; n < 10; n++) {
    const again = await cluster.attention(q, cache);
    assert.deepEqual(again.out, first.out);
    assert.deepEqual(again.lse, first.lse);
  }
  const narrow = await cluster.attention(q, cache, { wire: "bf16" });
  const error = distance(narrow.out, first.out);
  assert.ok(error > 0 && error < 2 ** -8, `${error}`);
});

clusterTest("what a cluster cannot do it refuses, and goes on", async () => {
  await using started = await startCluster(2);
  const { cluster, server } = started;
  const sizes = { sequences: 2, kvHeads: 1, headDim: 16, pages: 8, pageSize: 16, stripe: 16 };
  await assert.rejects(
    cluster.kvCache({ ...sizes, replicas: 3 }),
    /replicas is 3 but the cluster has 2/,
  );
  await assert.rejects(
    cluster.kvCache({ ...sizes, kvHeads: 0 }),
    /Cannot run kvCache: kvHeads is 0/,
  );
  // no room on a node: its own message
  await assert.rejects(
    cluster.kvCache({ ...sizes, pages: 2 ** 30 }),
    (error) => error instanceof RangeError && /^Cannot allocate/.test(error.message),
  );
  await using cache = await cluster.kvCache(sizes);
  await cache.append(rows(60, 1), rows(60, 1), { sequences: [0] });
  await assert.rejects(
    cache.append(rows(1, 2), rows(1, 2), { sequences: [0] }),
    /Cannot run append: k has/,
  );
  await assert.rejects(
    cache.append(rows(80, 1), rows(80, 1), { sequences: [1] }),
    /Cannot run append: shard \d has \d free pages of 4 but \d were wanted for 80 rows/,
  );
  assert.deepEqual([...cache.lengths], [60, 0]);
  const q = rows(1, 1);
  await assert.rejects(cluster.attention(q, cache, { sequences: [2] }), /sequences\[0\] is 2/);
  await assert.rejects(
    cluster.attention(rows(1, 1, 8), cache, { sequences: [0] }),
    /Cannot run attention/,
  );
  for (
    const options of [
      { alibiSlopes: { data: new Float32Array(1), shape: [1] } },
      { dropout: { probability: 0.5, seed: 1 } },
      { stats: ["entropy"] as const },
      { rotary: {} },
    ]
  ) {
    const [name] = Object.keys(options);
    await assert.rejects(
      cluster.attention(q, cache, { ...options, sequences: [0] }),
      (error) => error instanceof UnsupportedError && error.message.startsWith(name!),
    );
  }
  const before = await cluster.attention(q, cache, { sequences: [0] });
  await cache.append(rows(9, 1, 16, 5), rows(9, 1, 16, 6), { sequences: [0] });
  await cache.truncate(0, 60);
  assert.deepEqual((await cluster.attention(q, cache, { sequences: [0] })).out, before.out);
  await cache.free(0);
  assert.equal(cache.freePages, 8);
  const { out, lse } = await cluster.attention(q, cache, { sequences: [0] });
  assert.ok(Array.from(out.data).every((x) => x === 0) && lse.data[0] === -Infinity);
  // names and addresses
  await assert.rejects(
    startNode({ servers: server.url, name: "a b" }),
    /Cannot run startNode: name is "a b"/,
  );
  await assert.rejects(connectCluster({ servers: [], name: "x" }), /servers has no address/);
  const empty = await connectCluster({ servers: server.url, name: "x", cluster: "other" });
  await assert.rejects(empty.kvCache(sizes), (error) => error instanceof ClusterError);
  await empty.close();
});

clusterTest("a page's way: WebSockets", async () => {
  const config = await Deno.makeTempFile({ suffix: ".conf" });
  await Deno.writeTextFile(config, 'websocket { listen: "127.0.0.1:-1", no_tls: true }\n');
  await using started = await startCluster(1, {}, ["-c", config]);
  const port = started.server.text.match(/websocket clients on ws:\/\/127\.0\.0\.1:(\d+)/)![1];
  const cluster = await connectCluster({ servers: `ws://127.0.0.1:${port}`, name: "page" });
  await using cache = await cluster.kvCache({ sequences: 1, kvHeads: 1, headDim: 16, pages: 8 });
  await cache.append(rows(40, 1), rows(40, 1));
  assert.deepEqual((await cluster.attention(rows(1, 2), cache)).out.shape, [1, 1, 2, 16]);
  await cache.dispose();
  await cluster.close();
  await Deno.remove(config);
});

clusterTest("credentials and their absence are NATS' own", async () => {
  await using server = await Server.start(["--user", "me", "--pass", "word"]);
  // in a process of its own: in Deno the transport's socket may raise ECONNRESET afterwards, which nobody can catch
  await assert.rejects(startNodeProcess(server.url, "n"), /Cannot run startNode: NATS at/);
  await using node = await startNodeProcess(server.url, "n", ["--user", "me", "--pass", "word"]);
  const cluster = await connectCluster({
    servers: server.url,
    name: "x",
    nats: { user: "me", pass: "word" },
  });
  assert.deepEqual((await cluster.nodes()).map(({ name }) => name), ["n"]);
  await cluster.close();
  node.kill("SIGTERM");
  assert.equal((await node.status).code, 0);
});
