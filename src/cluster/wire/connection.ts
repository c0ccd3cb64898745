// The connection to NATS: over TCP, or over WebSocket where the addresses say so. What it can do beyond a name and addresses
// (credentials, TLS) is NATS' own and passed on as it is.
import {
  type ConnectionOptions,
  createInbox,
  type NatsConnection,
  wsconnect,
} from "@nats-io/nats-core";
import { Svcm } from "@nats-io/services";
import { ClusterError } from "./errors.ts";
import { Complaint } from "../../tensor/errors.ts";
import { checkNames, readServers } from "./servers.ts";
import { checkName } from "./subjects.ts";

/** A `NatsConnection` of `@nats-io/nats-core`, whichever transport made it: what tells one. */
export interface NatsConnectionLike {
  /** Whether it can be used no more. */
  isClosed(): boolean;
  /** Ends subscriptions, and then the connection. */
  drain(): Promise<void>;
  /** Resolves when it is closed. */
  closed(): Promise<void | Error>;
}

/** How nodes and clients find NATS. */
export interface ConnectionSettings {
  /** Addresses: `nats://` and `tls://` (TCP), or `ws://` and `wss://`, the only ones that a browser has. */
  readonly servers?: string | readonly string[] | undefined;
  /** A connection of the caller's in place of `servers`; it stays open afterwards. */
  readonly connection?: NatsConnectionLike | undefined;
  /** `ConnectionOptions` of NATS itself: `user`, `pass`, `token`, `authenticator`, `tls`, and all others. */
  readonly nats?: Readonly<Record<string, unknown>> | undefined;
  /** What this process is called, in NATS and in errors: letters, digits, `-` and `_`. */
  readonly name: string;
  /** Which cluster of those that share the servers. Default `"main"`. */
  readonly cluster?: string | undefined;
}

/** A connection, and whether it is ours to close. */
export interface Connection {
  readonly nats: NatsConnection;
  readonly own: boolean;
  readonly cluster: string;
  readonly name: string;
}

/** Until it is given up NATS is looked for this often, in milliseconds; a server that comes back is found at once. */
const RECONNECT = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: 100,
  reconnectJitter: 50,
  timeout: 5000, // for a server that accepts and says nothing
};
/** A link that is broken without a word is noticed after two of these. */
const PING_MS = 10_000;

/** Hears what is said on a subject that nobody else listens to. */
export function inboxOf(
  nats: NatsConnection,
  told: (text: string) => void,
): { readonly subject: string; readonly stop: () => void } {
  const { options } = nats as { options?: { inboxPrefix?: string } }; // what this user may listen to
  const subject = createInbox(options?.inboxPrefix);
  const subscription = nats.subscribe(subject, {
    callback: (error, message) => {
      if (!error) told(message.string());
    },
  });
  return { subject, stop: () => subscription.unsubscribe() };
}

/** Opens the connection of a node or a client; `more` are its options beside those of a connection. */
export async function connectTo(
  settings: ConnectionSettings,
  action: string,
  more: readonly string[],
): Promise<Connection> {
  const complaint = new Complaint(action);
  checkNames(settings, more, complaint);
  const name = checkName(action, "name", settings.name);
  const cluster = checkName(action, "cluster", settings.cluster ?? "main");
  const { connection, servers } = settings;
  if (connection) return { nats: connection as NatsConnection, own: false, cluster, name };
  const { list, web } = readServers(servers, settings.nats, complaint);
  const options: ConnectionOptions = {
    ...RECONNECT,
    pingInterval: PING_MS,
    ...settings.nats,
    servers: list,
    name,
  };
  const connect = web ? wsconnect : (await import("@nats-io/transport-node")).connect;
  try {
    return { nats: await connect(options), own: true, cluster, name };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : `${cause}`;
    throw new ClusterError(action, `NATS at ${list.join(", ")}: ${why}`, {}, cause);
  }
}

/** How long a connection may take to end what it has, in milliseconds: without a server it would wait for one. */
const LEAVE_MS = 2000;

/** Ends what a connection has to do, and the connection. */
export async function leave(nats: NatsConnection): Promise<void> {
  if (nats.isClosed()) return;
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, LEAVE_MS));
  await Promise.race([nats.drain().catch(() => {}), late]).finally(() => clearTimeout(timer));
  await nats.close();
}

/** Hears of a server that went away or came back, until the connection is closed or the listening is stopped. */
export function onStatus(nats: NatsConnection, hear: (type: string) => void): () => void {
  // what the connection returns can be stopped, though its type does not say so
  const events = nats.status() as AsyncIterable<{ type: string }> & { stop(): void };
  void (async () => {
    for await (const { type } of events) hear(type);
  })();
  return () => events.stop();
}

/**
 * The services of a connection. Their package is built on an earlier version of the types of the same connection, and on no
 * other code of it.
 */
export function servicesOf(nats: NatsConnection): Svcm {
  return new Svcm(nats as unknown as ConstructorParameters<typeof Svcm>[0]);
}

/** Bytes that a message may have beside the header of its layout. */
export function payloadOf(nats: NatsConnection): number {
  return (nats.info?.max_payload ?? 2 ** 20) - 8192;
}
