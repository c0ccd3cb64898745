/**
 * Puts a running server under load: clients that each ask again as soon as they were answered, with good requests, whose
 * answers are compared with float64, and with bad ones. `deno run -A examples/edge/load.ts --help` has the flags.
 */
import { parseArgs } from "node:util";
import { formatBytes, formatCount } from "../byte_lm/progress.ts";
import { whole } from "../flags.ts";
import { badSamples, goodSample, type Sample } from "./testing/bodies.ts";

const HELP = `Measures a server of examples/edge.

Usage: deno run -A examples/edge/load.ts [URL] [options]
       (URL: default http://127.0.0.1:8001)

  --clients N   clients at once (default 32)
  --seconds N   (default 60)
  --pid N       of the server, whose memory is then reported`;

/** Every so many-th request is a bad one. */
const BAD = 8;
/** Largest error of a score, as a share of it: sums of float32 in another order. */
const TOLERANCE = 1e-5;

/** Requests of three forms, 20 to 50 documents each. */
export function loadSamples(): { good: Sample[]; bad: Sample[] } {
  const small = { tokens: 8, documents: 20, documentTokens: 24, dim: 32 };
  const large = { tokens: 32, documents: 50, documentTokens: 48, dim: 128 };
  return {
    good: [goodSample(1, "json", small), goodSample(2, "f32", large), goodSample(3, "f16", large)],
    bad: badSamples(),
  };
}

/** What clients saw. */
export interface Outcome {
  requests: number;
  seconds: number;
  /** Answers that were not the right ones. */
  failures: string[];
  /** Milliseconds of good requests. */
  milliseconds: number[];
  /** Bytes of memory, once a second, where somebody looks. */
  memory: number[];
}

/** How much load. */
export interface Load {
  clients: number;
  seconds: number;
  memory?: () => Promise<number>;
}

/** Clients that ask for so many seconds. */
export async function load(url: string, { clients, seconds, memory }: Load): Promise<Outcome> {
  const outcome: Outcome = { requests: 0, seconds, failures: [], milliseconds: [], memory: [] };
  const { good, bad } = loadSamples(), until = performance.now() + 1000 * seconds;
  const client = async () => {
    while (performance.now() < until) {
      const n = outcome.requests++, wrong = n % BAD === BAD - 1;
      const samples = wrong ? bad : good;
      const sample = samples[(wrong ? Math.floor(n / BAD) : n) % samples.length]!;
      const start = performance.now();
      const failure = await ask(url, sample).catch(String);
      if (failure !== undefined) outcome.failures.push(`${sample.name}: ${failure}`);
      else if (!wrong) outcome.milliseconds.push(performance.now() - start);
    }
  };
  const timer = setInterval(async () => {
    if (memory) outcome.memory.push(await memory());
  }, 1000);
  await Promise.all(Array.from({ length: clients }, client));
  clearInterval(timer);
  return outcome;
}

/** Sends a request; says what is wrong with the answer. */
export async function ask(
  url: string,
  { type, body, status, scores }: Sample,
): Promise<string | undefined> {
  const headers = { "Content-Type": type };
  const response = await fetch(`${url}/rerank`, { method: "POST", headers, body });
  const text = await response.text();
  if (response.status !== status) return `status ${response.status}: ${text.slice(0, 200)}`;
  const answer = JSON.parse(text);
  if (!scores) return typeof answer.error.message === "string" ? undefined : "it has no message";
  if (!/^read;dur=.*score;dur=/.test(response.headers.get("server-timing") ?? "")) {
    return "it has no Server-Timing";
  }
  const results: { index: number; score: number }[] = answer.results;
  if (results.length !== scores.length) return `${results.length} results`;
  const off = results.find(({ index, score }, n) => {
    const want = scores[index]!, before = results[n - 1]?.score ?? Infinity;
    return !(Math.abs(score - want) <= TOLERANCE * Math.abs(want)) || score > before;
  });
  return off && `document ${off.index} has ${off.score}, wanted ${scores[off.index]}`;
}

const quantile = (values: readonly number[], share: number): string => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor(share * (sorted.length - 1))] ?? NaN).toFixed(0);
};

/** Sentences about an outcome. */
export function describe({ requests, seconds, failures, milliseconds, memory }: Outcome): string {
  const lines = [
    `${formatCount(requests)} requests in ${seconds} s, ${failures.length} failures`,
    `median ${quantile(milliseconds, 0.5)} ms, 95 % ${quantile(milliseconds, 0.95)} ms`,
    ...new Set(failures.slice(0, 5)),
  ];
  if (memory.length > 0) {
    const [quarter, end] = [0.25, 1].map((share) =>
      memory[Math.floor(share * (memory.length - 1))]!
    );
    const most = formatBytes(Math.max(...memory));
    lines.push(
      `memory ${formatBytes(quarter!)} after a quarter, ${formatBytes(end!)}, most ${most}`,
    );
  }
  return lines.join("\n");
}

/** Resident bytes of a process, as Linux tells. */
async function residentBytes(pid: string): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return 1024 * Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1]);
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
    options: {
      clients: text,
      seconds: text,
      pid: text,
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return console.log(HELP);
  const [url = "http://127.0.0.1:8001"] = positionals, { pid } = values;
  const outcome = await load(url.replace(/\/$/, ""), {
    clients: whole("clients", values.clients, 32, 1),
    seconds: whole("seconds", values.seconds, 60, 1),
    ...pid === undefined ? {} : { memory: () => residentBytes(pid) },
  });
  console.log(describe(outcome));
  if (outcome.failures.length > 0) Deno.exitCode = 1;
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    Deno.exitCode = 1;
  }
}
