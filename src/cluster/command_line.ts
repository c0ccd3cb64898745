// What a command line says of a connection to NATS.
import type { ConnectionSettings } from "./wire/connection.ts";

/** Its words. */
export interface ConnectionWords {
  /** Addresses, with commas between them. Default: `HERE`. */
  readonly servers?: string | undefined;
  /** Name of the cluster. */
  readonly cluster?: string | undefined;
  /** Credentials of NATS. */
  readonly user?: string | undefined;
  /** Likewise. */
  readonly pass?: string | undefined;
  /** Likewise. */
  readonly token?: string | undefined;
}

/** Where NATS is when nothing is said of it: the place where `nats-server` listens by itself. */
export const HERE = "nats://127.0.0.1:4222";

/** The words as options of a connection. */
export function settingsOf(
  { servers = HERE, cluster, user, pass, token }: ConnectionWords,
  name: string,
): ConnectionSettings {
  const given = Object.entries({ user, pass, token }).filter(([, word]) => word !== undefined);
  return { servers: servers.split(","), name, cluster, nats: Object.fromEntries(given) };
}
