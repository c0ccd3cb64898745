/** Engines that the tests of a file share, so that a GPU makes each kernel once a file. */

import { type Configuration, openAll, type OpenSessions, type Session } from "./backends.ts";
import { whatIsLeftOut } from "./selection.ts";

const opened = new Map<Configuration, Promise<OpenSessions>>();
let ends = false;

async function end(): Promise<void> {
  for (const open of opened.values()) await (await open)[Symbol.asyncDispose]();
  opened.clear();
  const left = whatIsLeftOut();
  if (left) console.log(left);
}

/**
 * Called where a test is registered: opens, in the test, what this machine has of some configurations. They stay open
 * until the last test of the file, so the test must not ask for the resources it leaves.
 */
export function sharedSessions(
  configurations: readonly Configuration[],
): () => Promise<ReadonlyMap<string, Session>> {
  if (!ends) Deno.test.afterAll(end);
  ends = true;
  return async () => {
    const sessions = new Map<string, Session>();
    for (const configuration of configurations) {
      let open = opened.get(configuration);
      if (!open) opened.set(configuration, open = openAll([configuration]));
      for (const [name, session] of (await open).sessions) sessions.set(name, session);
    }
    return sessions;
  };
}

/** Registers a test with a step for each configuration that this machine has. */
export function testSessions(
  name: string,
  configurations: readonly Configuration[],
  check: (session: Session, configuration: string) => Promise<void>,
): void {
  const open = sharedSessions(configurations);
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn(t) {
      for (const [configuration, session] of await open()) {
        await t.step(configuration, () => check(session, configuration));
      }
    },
  });
}
