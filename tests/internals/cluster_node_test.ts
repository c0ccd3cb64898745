/** What a node does with shards and jobs, without a network. */

import assert from "node:assert/strict";
import { createEngine, type Engine } from "../../mod.ts";
import { OPERATION_TABLE, type Site } from "../../src/cluster/node/operations.ts";
import { Shard } from "../../src/cluster/node/shard.ts";
import { Store } from "../../src/cluster/node/store.ts";

Deno.test("changes of a shard are made once, and one that comes late changes nothing", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const spec = {
    shard: 0,
    shards: 1,
    stripe: 4,
    sequences: 2,
    kvHeads: 1,
    headDim: 1,
    valueDim: 1,
  };
  const shard = new Shard(engine, { ...spec, dtype: "f32", pageSize: 4, pages: 4 });
  const add = (version: number, from: number, ...values: number[]) => {
    const rows = { data: Float32Array.from(values), shape: [values.length, 1, 1] };
    return shard.append(
      { version, sequences: [1], from: [from], rows: [values.length] },
      rows,
      rows,
    );
  };
  const held = async () => Array.from((await shard.export(1)).keys.rows.data);
  await add(1, 0, 1, 2);
  await add(2, 2, 3);
  await add(2, 2, 3); // asked twice
  assert.deepEqual(await held(), [1, 2, 3]);
  await shard.truncate(3, [1], [0]);
  await add(4, 0, 7, 8, 9);
  // messages that were on their way all the time
  await assert.rejects(add(1, 0, 1, 2), /Cannot run append: shard 0 missed rows/);
  await assert.rejects(shard.truncate(3, [1], [0]), /Cannot run truncate: shard 0 missed rows/);
  assert.deepEqual(await held(), [7, 8, 9]);
  await shard.dispose();
});

const SPEC = {
  ...{ shard: 0, shards: 1, stripe: 4, sequences: 1, kvHeads: 1, headDim: 1, valueDim: 1 },
  ...{ dtype: "f32", pageSize: 4, pages: 4 } as const,
};
const copyHead = (version: number, length = 1) => ({
  ...{ cache: "c", from: "n7", spec: SPEC, version, owner: { client: "me", lease: 1000 } },
  sequences: [{ sequence: 0, length, rows: 0 }],
});
const exported = (version: number, rows = 1) => {
  const info = { dtype: "f32", shape: [rows, 1, 1], bytes: 4 * rows };
  const tensors = { keys: info, values: info };
  return Promise.resolve({ head: { job: "export", version, tensors }, tensors: {} });
};
const piece = (rows = 1) => ({
  head: {},
  tensors: { piece: { data: new Int8Array(4 * rows), shape: [4 * rows] } },
});

function siteOf(
  store: Store,
  engine: Engine,
  ask: (operation: string) => Promise<unknown>,
): Parameters<typeof OPERATION_TABLE.copy>[0] {
  const askNode = () => ask as unknown as ReturnType<Site["askNode"]>;
  return { store, engine, askNode, payload: () => 1024, publish: () => {} };
}

Deno.test("a copy that fails says from where, and leaves nothing on either node", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const store = new Store(engine, 2 ** 20, () => {}), asked: string[] = [];
  const site = siteOf(store, engine, (operation) => {
    asked.push(operation);
    if (operation === "get") return Promise.reject(new Error("no responders"));
    return exported(1);
  });
  await assert.rejects(
    async () => await OPERATION_TABLE.copy(site, { head: copyHead(1), tensors: {} }),
    /^RefusedError: Cannot copy shard 0 from node n7: no responders$/,
  );
  assert.deepEqual(asked, ["export", "get", "drop"]);
  assert.equal(store.all.shards.length, 0);
  await store.dispose();
});

Deno.test("a copy that is overtaken by a later one leaves that alone, and is not torn", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const store = new Store(engine, 2 ** 20, () => {});
  let fail = (_: Error) => {}, turn = 0;
  const hangs = new Promise<never>((_, reject) => fail = reject);
  const site = siteOf(store, engine, (operation) => {
    if (operation === "get") return Promise.resolve(piece());
    return operation === "export" && turn++ === 0 ? hangs : exported(2);
  });
  const copy = async (version: number) =>
    await OPERATION_TABLE.copy(site, { head: copyHead(version), tensors: {} });
  const first = copy(1);
  first.catch(() => {});
  await Promise.resolve();
  assert.deepEqual((await copy(2)).head, { version: 2 });
  fail(new Error("no responders"));
  await assert.rejects(first, /no responders/);
  assert.deepEqual(store.all.shards.map(({ rows, version }) => [rows, version]), [[1, 2]]);
  await store.dispose();
});

Deno.test("a copy of rows that change meanwhile is none", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const store = new Store(engine, 2 ** 20, () => {});
  let version = 1;
  const site = siteOf(store, engine, (operation) => {
    return operation === "export" ? exported(version++) : Promise.resolve(piece());
  });
  const head = {
    ...copyHead(1),
    spec: { ...SPEC, sequences: 2 },
    sequences: [{ sequence: 0, length: 1, rows: 0 }, { sequence: 1, length: 1, rows: 0 }],
  };
  await assert.rejects(
    async () => await OPERATION_TABLE.copy(site, { head, tensors: {} }),
    /Cannot copy shard 0 from node n7: its rows have changed meanwhile$/,
  );
  assert.equal(store.all.shards.length, 0);
  await store.dispose();
});

Deno.test("results count among the bytes of calls, and a job that is dropped computes no further", async () => {
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const rows = 64, sent = 2 * 8 * (rows + 1 + 1), owner = { client: "me", lease: 1000 };
  const put = async (store: Store, job: string, name: string, n: number) => {
    const info = { name, dtype: "f16", shape: [1, n, 1, 8], bytes: 16 * n, at: 0 };
    const data = new Int8Array(16 * n), tensors = { piece: { data, shape: [data.length] } };
    const head = { job, owner, ...info };
    await OPERATION_TABLE.put(siteOf(store, engine, () => exported(0)), { head, tensors });
  };
  const run = async (room: number, drop: boolean) => {
    const store = new Store(engine, room, () => {}),
      site = siteOf(store, engine, () => exported(0));
    for (const [name, n] of [["q", rows], ["k", 1], ["v", 1]] as const) {
      await put(store, "j", name, n);
    }
    const operands = { q: "q", k: "k", v: "v" };
    const runs = [{ options: { layout: "bshd" }, operands, places: {} }];
    const head = { job: "j", pass: "forward", wire: "f32", runs };
    try {
      const running = OPERATION_TABLE.run(site, { head, tensors: {} });
      if (drop) await OPERATION_TABLE.drop(site, { head: { job: "j" }, tensors: {} });
      await running;
      return store.all.jobs.map(({ bytes }) => bytes);
    } finally {
      await store.dispose();
    }
  };
  const made = 4 * (rows * 8 + rows);
  assert.deepEqual(await run(made, false), [made]);
  await assert.rejects(
    run(made - 1, false),
    /^RangeError: Cannot take more: the node holds \d+ bytes of calls and \d+ more are the result/,
  );
  assert.ok(made > sent);
  await assert.rejects(run(made, true), /Cannot go on: nobody waits for the job/);
});
