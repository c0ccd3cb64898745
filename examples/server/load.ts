/**
 * Puts a running server under load: one client, then many at once, each asking again as soon as it
 * was answered. `deno run --allow-net=127.0.0.1 examples/server/load.ts --help` has the flags.
 */
import { parseArgs } from "node:util";
import { formatBytes, formatCount } from "../byte_lm/progress.ts";
import { positive, whole } from "../flags.ts";

const HELP = `Measures a server of completions: one client, then many at once.

Usage: deno run --allow-net=127.0.0.1 examples/server/load.ts [URL] [options]
       (URL: default http://127.0.0.1:8000)

  --clients N   clients at once (default 32)
  --seconds N   for each of the two (default 20)
  --tokens N    that every request asks for (default 64)
  --prompt TEXT of every request, behind a number of its own (default "Once upon a time")`;

interface Options {
  url: string;
  clients: number;
  seconds: number;
  tokens: number;
  prompt: string;
}

/** What one or more clients saw. */
interface Outcome {
  requests: number;
  failures: number;
  tokens: number;
  seconds: number;
  /** Milliseconds from each request to its first token, and to its last. */
  first: number[];
  whole: number[];
  /** Bytes of the server's process, at most. */
  memory: number;
}

function parseOptions(args: string[]): Options | undefined {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      clients: text,
      seconds: text,
      tokens: text,
      prompt: text,
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return undefined;
  return {
    url: positionals[0] ?? "http://127.0.0.1:8000",
    clients: whole("clients", values.clients, 32, 1),
    seconds: positive("seconds", values.seconds, 20),
    tokens: whole("tokens", values.tokens, 64, 1),
    prompt: values.prompt ?? "Once upon a time",
  };
}

/** So many clients for as long as was asked for; requests under way then are waited for. */
async function load(options: Options, clients: number): Promise<Outcome> {
  const start = performance.now();
  const outcome: Outcome = {
    ...{ requests: 0, failures: 0, tokens: 0, seconds: 0, memory: 0 },
    ...{ first: [], whole: [] },
  };
  const watch = setInterval(async () => {
    outcome.memory = Math.max(outcome.memory, await residentBytes(options.url));
  }, 500);
  await Promise.all(Array.from({ length: clients }, async () => {
    while (performance.now() - start < options.seconds * 1000) await ask(options, outcome);
  }));
  clearInterval(watch);
  outcome.seconds = (performance.now() - start) / 1000;
  return outcome;
}

/** One streamed request. */
async function ask({ url, tokens, prompt }: Options, outcome: Outcome): Promise<void> {
  const start = performance.now(), seed = outcome.requests++;
  try {
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({
        prompt,
        max_tokens: tokens,
        seed,
        stream: true,
        stream_options: { include_usage: true },
      }),
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    let text = "";
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      if (text === "") outcome.first.push(performance.now() - start);
      text += piece;
    }
    if (!text.endsWith("data: [DONE]\n\n")) throw new Error(`ended with ${text.slice(-200)}`);
    outcome.whole.push(performance.now() - start);
    outcome.tokens += Number(text.match(/"completion_tokens":(\d+)/)?.[1]);
  } catch (error) {
    if (outcome.failures++ === 0) console.error(`first failure: ${error}`);
  }
}

async function residentBytes(url: string): Promise<number> {
  const response = await fetch(`${url}/metrics`).catch(() => undefined);
  return Number((await response?.text())?.match(/^flashtile_resident_bytes (\d+)$/m)?.[1] ?? 0);
}

function quantile(values: number[], share: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return value === undefined ? "-" : `${formatCount(Math.round(value))} ms`;
}

function describe(clients: number, outcome: Outcome): string[] {
  const { requests, failures, tokens, seconds, first, whole, memory } = outcome;
  return [
    `${clients}`,
    formatCount(requests),
    `${failures}`,
    formatCount(Math.round(tokens / seconds)),
    `${quantile(first, 0.5)}, ${quantile(first, 0.95)}`,
    `${quantile(whole, 0.5)}, ${quantile(whole, 0.95)}`,
    formatBytes(memory),
  ];
}

const HEADER = [
  ...["clients", "requests", "failures", "tokens/s"],
  ...["first token (median, 95 %)", "whole text (median, 95 %)", "memory of the server"],
];

if (import.meta.main) {
  try {
    const options = parseOptions(Deno.args);
    if (options) {
      const rows = [HEADER];
      for (const clients of [1, options.clients]) {
        const outcome = await load(options, clients);
        if (outcome.failures > 0) Deno.exitCode = 1;
        rows.push(describe(clients, outcome));
      }
      for (const row of rows) {
        console.log(row.map((cell, i) => cell.padEnd(HEADER[i]!.length)).join("  ").trimEnd());
      }
    } else console.log(HELP);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    Deno.exitCode = 1;
  }
}
