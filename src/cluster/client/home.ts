// What caches and calls need of their cluster.
import type { Asker } from "./asker.ts";
import type { Nodes } from "./nodes.ts";

/** A client's side of a cluster. */
export interface ClusterHome {
  readonly asker: Asker;
  readonly nodes: Nodes;
  /** Number of the client. */
  readonly client: string;
  /** Milliseconds. */
  readonly lease: number;
  /** Bytes of a message. */
  readonly payload: () => number;
  /** Hears what is said on a subject of this client's own, until `stop`. */
  readonly hear: (told: (text: string) => void) => {
    readonly subject: string;
    readonly stop: () => void;
  };
  /** Throws when the cluster was closed. */
  alive(action: string): void;
}
