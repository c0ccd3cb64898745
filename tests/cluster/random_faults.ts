/** Random faults while a cache is written and read: rows must be right all the time. */

import { type Child, startCluster } from "./processes.ts";
import { Twin } from "./twin.ts";

/** What happened. */
export interface FaultReport {
  /** Faults of each kind. */
  readonly counts: Readonly<Record<string, number>>;
  /** Steps, each of them compared with one engine. */
  readonly steps: number;
  readonly longestMs: number;
  /** Replicas that are missing in the end. */
  readonly missing: number;
}

/** How it goes. */
export interface FaultPlan {
  readonly seconds: number;
  /** Milliseconds between two faults, in the mean. */
  readonly every: number;
  /** Milliseconds between two steps. */
  readonly pause?: number;
  /** Looks at the processes now and then. */
  readonly look?: (nodes: readonly Child[]) => void;
}

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)]!;

/** Four nodes, two replicas, and one fault after the other until the time is over. Throws where a step is wrong. */
export async function randomFaults(
  { seconds, every, pause = 0, look }: FaultPlan,
): Promise<FaultReport> {
  await using started = await startCluster(4, { deadline: 60_000, patience: 1000 });
  const { nodes, server } = started;
  await using twin = await Twin.open(started.cluster, { replicas: 2 });
  await twin.append([0, 1, 2], 100);
  let number = 4;
  const replace = async (signal: Deno.Signal) => {
    const name = pick([...nodes.keys()]), child = nodes.get(name)!;
    nodes.delete(name);
    child.kill(signal);
    await child.status;
    await started.add(`n${number++}`);
    await twin.cache.repair();
  };
  const kinds = {
    killed: () => replace("SIGKILL"),
    drained: () => replace("SIGTERM"),
    async hung() {
      const child = pick([...nodes.values()]);
      child.kill("SIGSTOP");
      await wait(1500 * Math.random());
      child.kill("SIGCONT");
      await twin.cache.repair(); // it may have missed rows
    },
    async restarted() {
      await server.stop();
      await wait(500 * Math.random());
      await server.again();
    },
  };
  const names = Object.keys(kinds) as (keyof typeof kinds)[];
  const counts: Record<string, number> = {},
    begin = performance.now(),
    end = begin + 1000 * seconds;
  let over = false, steps = 0, longestMs = 0;
  const failing = (async () => {
    for (let n = 0; !over; n++) {
      await wait(every * (0.5 + Math.random()));
      const kind = n < names.length ? names[n]! : pick(names);
      await kinds[kind]();
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
  })();
  failing.catch(() => over = true);
  while (!over && performance.now() < end) {
    const from = performance.now(), sequence = pick([0, 1, 2]), length = twin.lengths[sequence]!;
    if (length > 600) await twin.truncate(sequence, 50);
    await twin.step(pick([[0], [1, 2], [0, 1, 2]]));
    longestMs = Math.max(longestMs, performance.now() - from);
    if (++steps % 50 === 0) look?.([...nodes.values()]);
    if (pause > 0) await wait(pause);
  }
  over = true;
  await failing;
  const missing = await twin.cache.repair();
  await twin.step();
  return { counts, steps, longestMs, missing };
}
