/** Forks of a cache's sequences: each node shares the pages that it has. `deno task test:cluster`. */

import assert from "node:assert/strict";
import { connect } from "@nats-io/transport-node";
import { decode } from "../../src/cluster/wire/message.ts";
import { clusterTest, startCluster } from "./processes.ts";
import { Twin } from "./twin.ts";

clusterTest("forks share pages on every node, and go their own ways", async () => {
  await using started = await startCluster(3);
  await using twin = await Twin.open(started.cluster, { pages: 90 });
  const { cache } = twin;
  await twin.append([1], 100); // a prompt, of 13 pages
  const before = cache.freePages;
  assert.equal(await twin.fork(1), 0); // begins at another shard than a sequence 0 would
  assert.equal(await twin.fork(0), 2);
  assert.equal(cache.freePages, before);
  await twin.check([0, 1, 2], 3);
  // the last page is copied by those that write to it but one
  await twin.append([0, 1, 2], 1);
  assert.equal(cache.freePages, before - 2);
  for (let n = 0; n < 12; n++) await twin.step([[0], [1, 2], [2, 0, 1]][n % 3]);
  await assert.rejects(
    twin.fork(1),
    /^RangeError: Cannot run fork: all 3 sequences of the cache hold rows/,
  );
  await assert.rejects(
    twin.fork(3),
    /^RangeError: Cannot run fork: sequence is 3 but the cache has/,
  );
  // a source that goes leaves its forks, and its number begins anew
  await twin.truncate(1, 0);
  await twin.truncate(2, 50);
  await twin.check([0, 2]);
  await twin.append([1], 70);
  await twin.step();
  for (const s of [0, 1, 2]) await twin.truncate(s, 0);
  assert.equal(cache.freePages, 90);
  assert.equal(await twin.fork(2), 0); // of nothing
  // nodes have what the client believes: all room but one page is taken, and given back
  await twin.append([0], 240);
  assert.equal(await twin.fork(0), 1);
  await assert.rejects(
    twin.append([0, 1], 250),
    /^RangeError: Cannot run append: shard \d has \d+ free/,
  );
  await twin.append([0, 1], 239);
  await twin.step([0, 1]);
  assert.deepEqual([[...cache.lengths], cache.freePages], [[480, 480, 0], 0]);
});

clusterTest(
  "a new replica shares what forks share, in a cache without room for copies",
  async () => {
    await using started = await startCluster(2, { deadline: 20_000, grace: 300 });
    const options = { replicas: 2, dtype: "i8" as const, pages: 40, shards: 2 };
    await using twin = await Twin.open(started.cluster, options);
    const { cache } = twin;
    await twin.append([0], 200); // 25 of 40 pages
    assert.equal(await twin.fork(0), 1);
    await twin.append([1], 20);
    assert.equal(await twin.fork(1), 2);
    await twin.truncate(2, 205); // in the middle of a page that is shared
    await twin.append([0, 2], 3);
    // a node dies: the forks live on the other, and are made anew from it
    started.nodes.get("n0")!.kill("SIGKILL");
    await twin.step();
    await started.add("n2");
    // what is in the pages travels once, however many sequences have them: 2 heads of 16 bytes and a scale, keys and values
    const stranger = await connect({ servers: started.server.url });
    let moved = 0;
    stranger.subscribe("flashtile.v1.main.node.*.get", {
      callback: (_, { data }) => void (moved += decode(data).head["length"] as number),
    });
    await stranger.flush();
    assert.equal(await cache.repair(), 0);
    await stranger.flush();
    const held = (40 - cache.freePages) * 8 * 2 * 2 * (16 + 4);
    assert.ok(moved > held / 2 && moved <= held, `${moved} of ${held} bytes`);
    await stranger.close();
    started.nodes.get("n1")!.kill("SIGKILL");
    await twin.check([0, 1, 2], 4);
    await twin.step();
    await twin.truncate(1, 0);
    assert.equal(await twin.fork(2), 1);
    await twin.step();
    // without a node nothing is forked
    await twin.truncate(1, 0);
    started.nodes.get("n2")!.kill("SIGKILL");
    await assert.rejects(cache.fork(0), /^ClusterError: Cannot run fork: shard \d on node n\d: /);
    assert.equal(cache.length(1), 0);
  },
);
