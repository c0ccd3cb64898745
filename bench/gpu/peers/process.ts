/**
 * Contenders in processes of their own, one at a time, in several rounds: a noisy stretch of the
 * machine then hits all of them.
 * @module
 */

import { summarize, type Timing } from "../../measure/race.ts";
import { ANSWER_MARK } from "../../peers/protocol.ts";
import { reasonOf } from "../context.ts";
import type { PeerAnswer, PeerJob } from "./contender.ts";

const HERE = new URL(".", import.meta.url);
const CONFIG = new URL("../../peers/deno.json", import.meta.url);
/** A library that hangs must not hold the report. */
const LIMIT_MS = 120_000;

export interface PeerOutcome {
  readonly job: PeerJob;
  readonly timing?: Timing;
  readonly calls?: number;
  readonly error?: number;
  readonly failed?: string;
}

/** Runs every job in every round; outcomes come in the order of the jobs. */
export async function racePeers(jobs: readonly PeerJob[], rounds: number): Promise<PeerOutcome[]> {
  const answers: PeerAnswer[][] = jobs.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < jobs.length; i++) {
      const at = (i + round) % jobs.length;
      // What failed once would fail again.
      if (answers[at].some(({ failed }) => failed)) continue;
      answers[at].push(await ask(jobs[at]));
    }
  }
  return jobs.map((job, i) => {
    const failed = answers[i].find((answer) => answer.failed)?.failed;
    if (failed) return { job, failed };
    const times = answers[i].flatMap((answer) => answer.times ?? []);
    const { calls, error } = answers[i][0];
    return { job, timing: summarize(job.contender, times), calls, error };
  });
}

async function ask(job: PeerJob): Promise<PeerAnswer> {
  try {
    const command = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-lock", "--config", CONFIG.pathname],
        ...["contender.ts", JSON.stringify(job)],
      ],
      cwd: HERE,
      env: { NO_COLOR: "1" },
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    const { stdout, stderr, signal } = await command.output();
    const line = text(stdout).split("\n").find((line) => line.startsWith(ANSWER_MARK));
    if (line) return JSON.parse(line.slice(ANSWER_MARK.length)) as PeerAnswer;
    if (signal) return { failed: `no answer in ${LIMIT_MS / 1000} s` };
    return { failed: `ended: ${text(stderr).trim().split("\n").pop()?.slice(0, 160)}` };
  } catch (error) {
    return { failed: reasonOf(error) };
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
