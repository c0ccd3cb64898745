// A node for as long as its process lives: what a command line says, one line when it is there, and a drain on SIGTERM.
import process from "node:process";
import type { EngineOptions } from "../engine/engine_options.ts";
import { type ClusterNode, startNode } from "./node/node.ts";

/** Words of a command line, by the names of options. */
export interface NodeWords {
  /** Addresses, with commas between them. */
  readonly servers?: string | undefined;
  /** Name of the node. Default `node-` and the number of the process. */
  readonly name?: string | undefined;
  /** Name of the cluster. */
  readonly cluster?: string | undefined;
  /** Threads of the engine. */
  readonly threads?: string | undefined;
  /** Backend of the engine. */
  readonly backend?: string | undefined;
  /** Credentials of NATS. */
  readonly user?: string | undefined;
  /** Likewise. */
  readonly pass?: string | undefined;
  /** Likewise. */
  readonly token?: string | undefined;
}

/** Errors of a socket that nobody listens to any more. */
const LATE: readonly unknown[] = ["ECONNRESET", "EPIPE"];

/**
 * In Deno 2.9.6 a socket that the transport has given up can still raise an error, and nobody can catch it (about once in
 * sixty refused connections). The connection is looked for again anyway; a node must not lose its rows for it.
 */
function outliveSockets(): void {
  process.on("uncaughtException", (error: Error & { code?: string }) => {
    if (LATE.includes(error.code)) return;
    console.error(error);
    process.exit(1);
  });
}

/** Starts a node and stays until it is drained: SIGTERM and SIGINT ask for that. */
export async function runNode(words: NodeWords): Promise<void> {
  const { servers, cluster, threads, backend, user, pass, token } = words;
  outliveSockets();
  const name = words.name ?? `node-${process.pid}`;
  const node: ClusterNode = await startNode({
    servers: servers?.split(",") ?? [],
    name,
    cluster,
    engine: {
      ...threads !== undefined && { threads: Number(threads) },
      ...backend !== undefined && { backend: backend as NonNullable<EngineOptions["backend"]> },
    },
    nats: {
      ...user !== undefined && { user },
      ...pass !== undefined && { pass },
      ...token !== undefined && { token },
    },
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void node.drain());
  console.log(`node ${name} (${node.id}) serves on ${servers}, ${node.status.backend}`);
  await node.closed;
  process.exit(0);
}
