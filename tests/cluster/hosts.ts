/** What a node may compute with, and how it is reached: a GPU beside a CPU, and TLS. `deno task test:cluster`. */

import assert from "node:assert/strict";
import { attention, attentionBackward, createEngine } from "@flashtile/attention";
import { connectCluster, startNode } from "@flashtile/attention/cluster";
import { openGpu } from "../backends.ts";
import { plainTensor } from "../inputs.ts";
import { clusterTest, Server } from "./processes.ts";
import { Twin } from "./twin.ts";

/** Asserts that two tensors differ by rounding only. */
function near(got: { data: ArrayLike<number> }, want: { data: ArrayLike<number> }): void {
  assert.equal(got.data.length, want.data.length);
  for (let i = 0; i < want.data.length; i++) {
    const [x, y] = [got.data[i]!, want.data[i]!];
    assert.ok(Math.abs(x - y) < 2e-5, `element ${i}: ${x} but ${y} was wanted`);
  }
}

clusterTest("a node with a GPU beside one without: caches and calls are right", async () => {
  const gpu = await openGpu();
  if ("absent" in gpu) return console.log(`not run on webgpu: ${gpu.absent}`);
  using _gpu = gpu;
  using cpu = await createEngine({ backend: "wasm", threads: 1 });
  await using server = await Server.start();
  const at = { servers: server.url };
  const nodes = [
    await startNode({ ...at, name: "gpu", engine: gpu }),
    await startNode({ ...at, name: "wasm", engine: cpu }),
  ];
  const cluster = await connectCluster({ ...at, name: "test", patience: 20_000 });
  assert.deepEqual((await cluster.nodes()).map(({ backend }) => backend), ["webgpu", "wasm"]);
  // a replica that is lost with the CPU's node is made anew from the GPU, in its own pages
  await using twin = await Twin.open(cluster, { replicas: 2, pages: 90, dtype: "f16" });
  await twin.append([0, 2], 60);
  assert.equal(await twin.fork(0), 1);
  await twin.append([1], 5);
  await twin.check([0, 1, 2]);
  await nodes[1]!.drain();
  nodes.push(await startNode({ ...at, name: "late", engine: cpu }));
  assert.equal(await twin.cache.repair(), 0);
  await nodes[0]!.drain();
  await twin.check([0, 1, 2]);
  nodes.push(await startNode({ ...at, name: "again", engine: gpu }));
  assert.equal((await cluster.nodes()).length, 2);
  const [q, k, v] = [1, 2, 3].map((seed) => plainTensor(seed, [1, 90, 4, 16])),
    options = {
      causal: true,
    };
  const want = await attention(q!, k!, v!, options), saved = { q: q!, k: k!, v: v!, ...want };
  const gradients = await attentionBackward(q!, saved, options);
  near((await cluster.attention(q!, k!, v!, options)).out, want.out);
  const got = await cluster.attentionBackward(q!, saved, options);
  for (const name of ["dq", "dk", "dv"] as const) near(got[name], gradients[name]);
  await cluster.close();
  for (const node of nodes) await node.drain();
});

/** A certificate of this machine's own, valid for a day; undefined where there is no openssl. */
async function certificate(folder: string): Promise<{ cert: string; key: string } | undefined> {
  const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const args = ["req", "-x509", ...curve, "-keyout", key, "-out", cert, "-days", "1", ...names];
  try {
    const { success } = await new Deno.Command("openssl", { args, stderr: "null" }).output();
    if (success) return { cert, key };
  } catch {
    // it is not installed
  }
  return undefined;
}

clusterTest("TLS is NATS' own: a certificate that is trusted, and one that is not", async () => {
  const folder = await Deno.makeTempDir(), made = await certificate(folder);
  if (!made) return console.log("not run on this machine: TLS of clusters, openssl is missing");
  const { cert, key } = made;
  await using server = await Server.start(["--tls", "--tlscert", cert, "--tlskey", key]);
  const servers = `tls://localhost:${server.port}`, ca = await Deno.readTextFile(cert);
  const engine = { backend: "wasm", threads: 1 } as const,
    trusted = { servers, nats: { tls: { ca } } };
  await assert.rejects(
    connectCluster({ servers, name: "c" }),
    /^ClusterError: Cannot run connectCluster: NATS at tls:.*: self-signed certificate/,
  );
  const node = await startNode({ ...trusted, name: "n", engine });
  const cluster = await connectCluster({ ...trusted, name: "c" });
  const q = plainTensor(1, [1, 20, 2, 16]);
  near((await cluster.attention(q, q, q)).out, (await attention(q, q, q)).out);
  await cluster.close();
  await node.drain();
  await Deno.remove(folder, { recursive: true });
});
