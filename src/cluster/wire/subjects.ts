// Names on the wire: the service that nodes are, and the subjects that they listen on.
import { PROTOCOL } from "./message.ts";

/** The NATS service that every node is an instance of. */
export const SERVICE = "flashtile";

/** What a node can be asked, one endpoint each. */
export const OPERATIONS = [
  "open", // a shard of a cache
  "close",
  "append",
  "truncate",
  "fork", // a sequence of a shard
  "attend",
  "copy", // of another node's shard
  "export",
  "put", // tensors of a part of a call
  "run",
  "get",
  "drop",
] as const;

/** One of them. */
export type Operation = typeof OPERATIONS[number];

/** Subjects of a cluster. */
export interface Subjects {
  /** The group of an instance's endpoints. */
  node(id: string): string;
  /** Where an instance is asked one thing. */
  operation(id: string, operation: Operation): string;
  /** Where all nodes with shards of a cache hear its queries. */
  cache(cache: string): string;
  /** Where clients say that they live. */
  readonly leases: string;
}

/** The subjects of the cluster of that name. */
export function subjectsOf(cluster: string): Subjects {
  const prefix = `flashtile.v${PROTOCOL}.${cluster}`;
  return {
    node: (id) => `${prefix}.node.${id}`,
    operation: (id, operation) => `${prefix}.node.${id}.${operation}`,
    cache: (cache) => `${prefix}.cache.${cache}`,
    leases: `${prefix}.lease`,
  };
}

/** Throws unless a name can be one word of a subject. */
export function checkName(action: string, option: string, name: unknown): string {
  if (typeof name === "string" && /^[-\w]{1,64}$/.test(name)) return name;
  throw new TypeError(
    `Cannot run ${action}: ${option} is ${
      JSON.stringify(name)
    } but must be 1 to 64 letters, digits, ` +
      `"-" or "_"`,
  );
}
