/** Decoding while nodes die and the server goes away: every step is compared, and the longest is printed. */

import { randomFaults } from "../../tests/cluster/random_faults.ts";
import { startCluster, type TestCluster } from "../../tests/cluster/processes.ts";
import { Twin } from "../../tests/cluster/twin.ts";
import { median, residentBytes } from "./report.ts";

const STEPS = 200;

/** There with `--v8-flags=--expose-gc`. */
const { gc } = globalThis as { gc?: () => void };

async function decode(
  name: string,
  started: TestCluster,
  pause: number,
  fault: () => Promise<void>,
): Promise<void> {
  await using twin = await Twin.open(started.cluster, { replicas: 2 });
  await twin.append([0, 1, 2], 500);
  const times: number[] = [];
  let failing: Promise<void> | undefined;
  for (let n = 0; n < STEPS; n++) {
    if (n === STEPS / 2) failing = fault();
    const begin = performance.now();
    await twin.step(); // throws where it is wrong
    times.push(performance.now() - begin);
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
  }
  await failing;
  const rows = [...twin.cache.lengths].join(", ");
  console.log(
    `${name}: ${STEPS} steps right, rows ${rows}; a step takes ${
      median(times).toFixed(1)
    } ms, the ` +
      `longest took ${Math.max(...times).toFixed(0)} ms`,
  );
}

/** One of four nodes is killed in the middle; then the server is ended and started again. */
export async function faults(pause: number): Promise<void> {
  await using started = await startCluster(4, { deadline: 30_000 });
  await decode("the server restarts", started, pause, async () => {
    await started.server.stop();
    await started.server.again();
  });
  await decode("one of four nodes is killed", started, pause, async () => {
    const child = started.nodes.get("n1")!;
    child.kill("SIGKILL");
    await child.status;
  });
}

/** Random faults for some seconds; rows must be right all the time, and memory flat. */
export async function soak(seconds: number, pause: number): Promise<void> {
  const memory: number[][] = [];
  const { counts, steps, longestMs, missing } = await randomFaults({
    seconds,
    every: 2000,
    pause,
    look: (nodes) => {
      gc?.();
      const { heapUsed } = Deno.memoryUsage();
      memory.push([
        heapUsed,
        residentBytes(Deno.pid),
        ...nodes.map(({ pid }) => residentBytes(pid)),
      ]);
    },
  });
  console.log(
    `${seconds} s of faults (${JSON.stringify(counts)}): ${steps} steps right, the longest took ` +
      `${longestMs.toFixed(0)} ms, ${missing} replicas missing at the end`,
  );
  const MiB = (bytes: number) => Math.round(bytes / 2 ** 20);
  for (const share of [0.1, 0.25, 0.5, 0.75, 1]) {
    const at = memory[Math.min(memory.length - 1, Math.floor(share * memory.length))];
    if (!at) continue;
    const [heap, client, ...nodes] = at.map(MiB);
    console.log(
      `  memory after ${100 * share} %: client ${client} MiB, its heap ${heap}, nodes ${
        nodes.join(", ")
      }`,
    );
  }
}
