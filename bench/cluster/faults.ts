/** Decoding while nodes die and the server goes away: every step is compared, and the longest is printed. */

import { randomFaults } from "../../tests/cluster/random_faults.ts";
import { startCluster, type TestCluster } from "../../tests/cluster/processes.ts";
import { Twin } from "../../tests/cluster/twin.ts";
import type { Results } from "../measure/store.ts";
import { residentBytes, spread } from "./report.ts";

const STEPS = 200;

/** There with `--v8-flags=--expose-gc`. */
const { gc } = globalThis as { gc?: () => void };

async function decode(
  name: string,
  started: TestCluster,
  pause: number,
  fault: () => Promise<void>,
  results: Results,
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
  const rows = [...twin.cache.lengths].join(", "), { medianMs, maxMs } = spread(times);
  results.add("cluster-faults", { fault: name, stepsRight: times.length, ...spread(times) });
  console.log(
    `${name}: ${STEPS} steps right, rows ${rows}; a step takes ${medianMs.toFixed(1)} ms, the ` +
      `longest took ${maxMs.toFixed(0)} ms`,
  );
}

/** One of four nodes is killed in the middle; then the server is ended and started again. */
export async function faults(pause: number, results: Results): Promise<void> {
  await using started = await startCluster(4, { deadline: 30_000 });
  await decode("the server restarts", started, pause, async () => {
    await started.server.stop();
    await started.server.again();
  }, results);
  await decode("one of four nodes is killed", started, pause, async () => {
    const child = started.nodes.get("n1")!;
    child.kill("SIGKILL");
    await child.status;
  }, results);
}

/** Random faults for some seconds; rows must be right all the time, and memory flat. */
export async function soak(seconds: number, pause: number, results: Results): Promise<void> {
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
  const [first, last] = [memory[Math.floor(memory.length / 10)]!, memory.at(-1)!];
  results.add("cluster-soak", {
    ...{ seconds, ...counts, stepsRight: steps, longestMs, missing },
    ...{ heapBytesAtTenth: first[0]!, heapBytes: last[0]!, clientBytesAtTenth: first[1]! },
    ...{ clientBytes: last[1]!, nodeBytesAtTenth: Math.max(...first.slice(2)) },
    nodeBytes: Math.max(...last.slice(2)),
  });
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
