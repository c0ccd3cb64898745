// A node for as long as nobody stops it: what a command line says, one line when it is there, and a drain.
import process from "node:process";
import type { EngineOptions } from "../engine/engine_options.ts";
import { type ConnectionWords, HERE, settingsOf } from "./command_line.ts";
import { outliveSockets } from "./late_sockets.ts";
import { type ClusterNode, startNode } from "./node/node.ts";
import { ClusterError } from "./wire/errors.ts";
import type { NodeStatus } from "./wire/requests.ts";

/** What a command line says of a node. */
export interface NodeWords extends ConnectionWords {
  /** Name of the node. Default `node-` and the number of the process. */
  readonly name?: string | undefined;
  /** The engine that computes. */
  readonly engine?: EngineOptions | undefined;
}

/** What stops a node; an `AbortSignal` is one. */
export interface Stop {
  /** Whether it was told to. */
  readonly aborted: boolean;
  /** Calls `listener` when it is. */
  addEventListener(type: "abort", listener: () => void): void;
}

/**
 * Starts a node, says that it is there, stays until `stop` asks for a drain, and returns what the node held then. A
 * connection that is closed by anything else is an error.
 */
export async function runNode(
  words: NodeWords,
  stop: Stop,
  say: (line: string) => void,
): Promise<NodeStatus> {
  const release = outliveSockets(), name = words.name ?? `node-${process.pid}`;
  try {
    const node = await startNode({ ...settingsOf(words, name), engine: words.engine });
    say(`node ${name} (${node.id}) serves on ${words.servers ?? HERE}, ${node.status.backend}`);
    return await stayUntil(stop, node);
  } finally {
    release();
  }
}

async function stayUntil(stop: Stop, node: ClusterNode): Promise<NodeStatus> {
  const stopped = new Promise<NodeStatus>((resolve) => {
    const leave = () => resolve(node.status);
    if (stop.aborted) leave();
    else stop.addEventListener("abort", leave);
  });
  const last = await Promise.race([stopped, node.closed]);
  await node.drain();
  if (last) return last;
  throw new ClusterError("a node", "the connection to NATS was closed", { node: node.name });
}
