// Where NATS is and which cluster is meant: flags of every command of a cluster. The cluster itself, and with it the packages
// of NATS, is loaded by a command that runs, so that no other command needs them.
import type { FlagsOf } from "../command.ts";
import { MissingError } from "../exit.ts";
import { type Kind, valueFlag } from "../values.ts";

/** Values of these flags. */
export interface ConnectionValues {
  readonly servers: string | undefined;
  readonly cluster: string | undefined;
  readonly user: string | undefined;
  readonly pass: string | undefined;
  readonly token: string | undefined;
}

const ADDRESS = /^((nats|tls|wss?):\/\/)?[^\s/,]+$/;
const addressesKind: Kind<string> = {
  metavar: "URL,URL",
  wanted: "addresses like nats://127.0.0.1:4222",
  read: (text) => text.split(",").every((one) => ADDRESS.test(one)) ? text : undefined,
};

/** A word that stands for itself. */
export const wordKind: Kind<string> = {
  ...{ metavar: "WORD", wanted: "a word" },
  read: (text) => text === "" ? undefined : text,
};

/** Flags of the connection. */
export const connectionFlags: FlagsOf<ConnectionValues> = {
  servers: valueFlag("--servers", addressesKind, "NATS. Default: nats://127.0.0.1:4222."),
  cluster: valueFlag("--cluster", wordKind, "Which cluster of those there. Default: main."),
  user: valueFlag("--user", wordKind, "User of NATS."),
  pass: valueFlag("--pass", wordKind, "Its password, which lists of processes show."),
  token: valueFlag("--token", wordKind, "Token of NATS, which lists of processes show."),
};

const PACKAGES = "@nats-io/nats-core @nats-io/services @nats-io/transport-node";

/** Loads what a command of a cluster needs and uses it; a package that is missing is named. */
export async function withPackages<M, T>(
  load: () => Promise<M>,
  use: (module: M) => Promise<T>,
): Promise<T> {
  try {
    return await use(await load());
  } catch (error) {
    // Bun's errors of this kind are no Error
    const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
    const [missing] = /@nats-io\/[-\w]+/.exec(String(message)) ?? [];
    if (code !== "ERR_MODULE_NOT_FOUND" || missing === undefined) throw error;
    throw new MissingError(
      `Cannot use a cluster: ${missing} is not installed; npm install ${PACKAGES}`,
    );
  }
}
