/** The commands `cluster node` and `cluster status` as processes, with a server. `deno task test:cluster`. */

import assert from "node:assert/strict";
import { connectCluster } from "@flashtile/attention/cluster";
import { COMMANDS } from "../../src/cli/commands.ts";
import { EXIT } from "../../src/cli/exit.ts";
import { cli, ended, spawn, tensor } from "../cli/session.ts";
import { type Child, clusterTest, Server, serving } from "./processes.ts";

/** What the page says that they need. */
const NET = ["--allow-net=127.0.0.1"];

/** A node by its command, when it is there. */
function nodeCommand(args: readonly string[]): Promise<Child> {
  return serving([
    ...["run", "--no-prompt", ...NET, "src/cli.ts", "cluster", "node"],
    ...["--threads=1", "--backend=wasm", ...args],
  ]);
}

clusterTest("a node, what status says of it, and a drain", async () => {
  await using server = await Server.start();
  const at = ["--servers", server.url];
  const empty = await ended(spawn(["cluster", "status", ...at], NET));
  assert.deepEqual([empty.code, empty.stdout], [EXIT.done, "cluster main has no node\n"]);
  await using node = await nodeCommand([...at, "--name=rack-7"]);
  await using other = await nodeCommand([...at, "--name=else", "--cluster=trial", "--json"]);

  const cluster = await connectCluster({ servers: server.url, name: "test" });
  await using cache = await cluster.kvCache({ sequences: 1, kvHeads: 1, headDim: 16, pages: 8 });
  await cache.append(tensor([1, 40, 1, 16], 1), tensor([1, 40, 1, 16], 2));
  await cluster.attention(tensor([1, 1, 2, 16], 3), cache);
  const { stdout, code } = await ended(spawn(["cluster", "status", ...at], NET));
  assert.equal(code, EXIT.done);
  const head = /^node +backend +shards +rows +memory +calls +waiting +busy +answered +p50 +p99\n/;
  assert.match(stdout, head);
  assert.match(
    stdout,
    /\nrack-7 +wasm +1 +40 +[\d.]+ KiB +0 +0 B +[\d.]+ m?s +1 +[\d.]+ m?s +[\d.]+ m?s\n$/,
  );
  const data = JSON.parse((await ended(spawn(["cluster", "status", ...at, "--json"], NET))).stdout);
  assert.deepEqual(data, await cluster.status());
  assert.deepEqual([data.length, data[0]?.name, data[0]?.rows], [1, "rack-7", 40]);
  const { answered, p50Ms, p99Ms } = data[0]!;
  assert.ok(answered === 1 && p50Ms! > 0 && p99Ms === p50Ms, `${p50Ms}, ${p99Ms}`);

  node.kill("SIGTERM");
  assert.equal((await node.status).code, EXIT.done);
  assert.match(node.text, /^node rack-7 was drained: it had 1 shard, 40 rows, .* busy for .*$/m);
  assert.deepEqual(await cluster.status(), []);
  other.kill("SIGINT");
  assert.equal((await other.status).code, EXIT.done);
  const last = JSON.parse(other.text.slice(other.text.indexOf("{")));
  assert.deepEqual([last.name, last.rows, last.answered, last.p50Ms], ["else", 0, 0, undefined]);
  await cluster.close();
});

clusterTest("credentials by flags, and their refusal", async () => {
  await using server = await Server.start(["--user", "me", "--pass", "word"]);
  const at = ["--servers", server.url];
  const wrong = await ended(spawn(["cluster", "status", ...at], NET));
  assert.equal(wrong.code, EXIT.unsupported, wrong.stderr);
  assert.match(wrong.stderr, /^Cannot run connectCluster: NATS at .*Authorization/i);
  await using _node = await nodeCommand([...at, "--name=n", "--user=me", "--pass=word"]);
  const args = ["cluster", "status", ...at, "--user=me", "--pass=word", "--json"];
  const { stdout } = await ended(spawn(args, NET));
  assert.deepEqual(JSON.parse(stdout).map(({ name }: { name: string }) => name), ["n"]);
});

clusterTest(
  "a program of its own stops a node by its signal; the examples of help run",
  async () => {
    await using server = await Server.start();
    for (const { name, examples } of COMMANDS.filter(({ name }) => name.startsWith("cluster "))) {
      for (const { args } of examples) {
        const words = args.split(" ").map((word) => word.startsWith("nats://") ? server.url : word);
        const signal = AbortSignal.abort(); // a node begins, and leaves at once
        const { code, stderr } = await cli(words, { signal });
        assert.deepEqual(
          [code, /^node /.test(stderr)],
          [EXIT.done, name === "cluster node"],
          stderr,
        );
      }
    }
  },
);
