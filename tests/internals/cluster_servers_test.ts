// What connections to NATS are told, checked before anybody is asked.
import assert from "node:assert/strict";
import { connectCluster, startNode, UnsupportedError } from "@flashtile/attention/cluster";
import { readServers } from "../../src/cluster/wire/servers.ts";
import { refuseAppend } from "../../src/cluster/options/append.ts";
import { checkRun } from "../../src/cluster/client/cluster_options.ts";
import { Complaint } from "../../src/tensor/errors.ts";

const complaint = new Complaint("connectCluster");
/** Nobody listens there; who asked would say so. */
const AT = { servers: "nats://127.0.0.1:1", name: "test" };

const WRONG: readonly (readonly [options: unknown, message: RegExp])[] = [
  [undefined, /^Cannot run \w+: options is undefined but must be \{ servers, name \}/],
  [{ ...AT, leese: 5 }, /options has the unknown name "leese", wanted one of servers, /],
  [{ name: "test" }, /servers has no address but one or more were wanted/],
  [{ ...AT, servers: 5 }, /servers is 5 but must be an address or a list of them/],
  [{ ...AT, servers: [5] }, /servers has 5 but must have an address such as/],
  [{ ...AT, servers: "127.0.0.1:99999" }, /servers has "127.0.0.1:99999" but must have an add/],
  [{ ...AT, servers: ["ws://a", "nats://b"] }, /must have addresses of one kind/],
  [{ ...AT, nats: "me" }, /nats is "me" but must be an object of options of NATS/],
];

Deno.test("what is wrong with options of a connection is named, and nobody is asked", async () => {
  for (const [options, message] of WRONG) {
    await assert.rejects(connectCluster(options as never), { name: "TypeError", message });
    await assert.rejects(startNode(options as never), { name: "TypeError", message });
  }
});

Deno.test("credentials in an address are refused, and the password is not shown", () => {
  assert.throws(() => readServers("nats://me:secret@host:4222", undefined, complaint), (error) => {
    const { message } = error as Error;
    assert.match(message, /credentials of "me" in the address of host:4222: give them as nats/);
    return !message.includes("secret");
  });
});

Deno.test("addresses of every form are taken", () => {
  const forms = ["host", "host:4222", "127.0.0.1", "::1", "[::1]:4222", "nats://host", "tls://h:1"];
  for (const form of forms) {
    assert.deepEqual(readServers(form, undefined, complaint), { list: [form], web: false });
  }
  assert.deepEqual(readServers(["ws://a:1", "wss://b"], undefined, complaint).web, true);
});

Deno.test("a WebSocket where there is none is refused, where NATS would wait for ever", () => {
  const { WebSocket } = globalThis;
  Object.assign(globalThis, { WebSocket: undefined });
  try {
    assert.throws(() => readServers("ws://host", undefined, complaint), UnsupportedError);
    assert.ok(readServers("ws://host", { wsFactory: () => {} }, complaint).web);
  } finally {
    Object.assign(globalThis, { WebSocket });
  }
});

Deno.test("options of calls that are null are named", () => {
  assert.throws(() => checkRun("attention", null as never), /options is null but must be an obj/);
  refuseAppend(null); // the rest of the checks says so
});
