/** Engines that the tests of a file share, so that a GPU makes each kernel once a file. */

import { type Configuration, openAll, type OpenSessions, type Session } from "./backends.ts";
import type { Case } from "./case.ts";
import { elsewhere, type Part, runTakes, testUnless, whatIsLeftOut } from "./selection.ts";

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

/** The part in which a test has a GPU; "by case": it asks its sessions which cases they take. */
export type GpuPart = Part | "by case";

/**
 * Registers a test with a step for each configuration that this machine has. The CPU's are in the parts that they name, the
 * GPU's in the part that `gpu` names.
 */
export function testSessions(
  name: string,
  configurations: readonly Configuration[],
  check: (session: Session, configuration: string) => Promise<void>,
  gpu: GpuPart = "core",
): void {
  const partOf = ({ name, part = "core" }: Configuration): GpuPart =>
    name.endsWith("webgpu") ? gpu : gpu === "by case" && part === "core" ? gpu : part;
  const parts = new Map(configurations.map((one) => [one.name, partOf(one)]));
  const taken = configurations.filter(({ name }) => {
    const part = parts.get(name)!;
    return part === "by case" || runTakes(part);
  });
  const open = sharedSessions(taken);
  Deno.test({
    ...testUnless(taken.length > 0 ? undefined : elsewhere("core"), name),
    async fn(t) {
      for (const [configuration, session] of await open()) {
        const takes = parts.get(configuration) === "rest"
          ? (c: Case) => session.takes(c, true)
          : session.takes;
        await t.step(configuration, () => check({ ...session, takes }, configuration));
      }
    },
  });
}
