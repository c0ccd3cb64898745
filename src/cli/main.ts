// From arguments to an exit code: the table of commands as a parser, and what is done with results and errors.
import type { Command, Invocation, Report } from "./command.ts";
import { COMMANDS, GROUPS } from "./commands.ts";
import { systemReason } from "./files/byte_file.ts";
import { codeOf, EXIT, type ExitCode, messageOf } from "./exit.ts";
import {
  command,
  findSimilar,
  lineBreak,
  longestMatch,
  type Message,
  type Parser,
  runParser,
  text,
} from "./optique.ts";
import { type CliHost, processHost, type Session } from "./session.ts";
import { VERSION } from "./version.ts";

/** What is typed. */
export const PROGRAM = "flashtile";

/** Below its flags, help shows how a command is used. */
function footer({ examples }: Command): Message {
  const lines = examples.flatMap(({ what, args }) => [
    ...[lineBreak(), text(`  # ${what}`)],
    ...[lineBreak(), text(`  ${PROGRAM} ${args}`)],
  ]);
  return [text("Examples:"), ...lines];
}

function parserOf(one: Command, name: string): Parser<"sync", Invocation, unknown> {
  return command(name, one.parser, {
    ...{ brief: [text(one.summary)], description: [text(one.details)], footer: footer(one) },
    usageLine: [{ type: "literal", value: "[FLAG...]" }],
  });
}

/** The commands, and groups of those whose names are two words. */
function program(args: readonly string[]): Parser<"sync", Invocation, unknown> {
  const groups = new Map<string, Command[]>();
  for (const one of COMMANDS) {
    const [first] = one.name.split(" ") as [string];
    groups.set(first, [...groups.get(first) ?? [], one]);
  }
  const errors = { unexpectedInput: (token: string) => unexpected(token, args) };
  const parsers = [...groups].map(([first, all]) => {
    if (all.length === 1 && all[0]!.name === first) return parserOf(all[0]!, first);
    const inner = all.map((one) => parserOf(one, one.name.slice(first.length + 1)));
    const noMatch = [
      text(`Cannot use ${first} alone: wanted one of ${wordsAfter(first).join(", ")}`),
    ];
    const one = longestMatch(...inner as [Parser<"sync", Invocation>], {
      errors: { ...errors, noMatch },
    });
    return command(first, one, {
      brief: [text(GROUPS[first]!)],
      footer: [
        text(`${PROGRAM} ${first} COMMAND --help has the flags of a command, and examples.`),
      ],
      usageLine: [{ type: "literal", value: "COMMAND [FLAG...]" }],
    });
  });
  return longestMatch(...parsers as [Parser<"sync", Invocation>], { errors });
}

/** The command that arguments begin with. */
function commandOf(args: readonly string[]): Command | undefined {
  return COMMANDS.find(({ name }) => name.split(" ").every((word, n) => args[n] === word));
}

/** What may be typed where a command begins, or behind the first word of a group. */
function wordsAfter(group?: string): readonly string[] {
  const names = COMMANDS.map(({ name }) => name.split(" "));
  if (group === undefined) return [...new Set(names.map(([first]) => first!))];
  return names.flatMap(([first, second]) => first === group && second ? [second] : []);
}

/** A flag or command that there is not, and the nearest that there is. */
function unexpected(token: string, args: readonly string[]): Message {
  const typed = token.replace(/=.*$/s, ""), found = commandOf(args);
  const group = Object.keys(GROUPS).find((name) => name === args[0]);
  const known = found ? [...found.flags, "--help"] : wordsAfter(group);
  const [nearest] = findSimilar(typed, known, { maxDistanceRatio: 0.7 });
  const place = found?.name ?? group, where = place === undefined ? "" : ` with ${place}`;
  const list = found ? `see ${PROGRAM} ${found.name} --help` : `wanted one of ${known.join(", ")}`;
  return [
    text(`Cannot use ${token}${where}: ${nearest ? `did you mean ${nearest}?` : list}`),
  ];
}

/** Help, a script for a shell, or the command that was asked for. */
function parse(
  args: readonly string[],
  { stdout, stderr, columns }: CliHost,
): Invocation | ExitCode {
  const shown = (code: number) => code === 0 ? EXIT.done : EXIT.usage;
  const about = (what: string) => [text(what)];
  return runParser<Parser<"sync", Invocation, unknown>, ExitCode, ExitCode>(
    program(args),
    PROGRAM,
    args,
    {
      help: { option: true, command: true, onShow: shown },
      version: { value: VERSION, option: true, onShow: shown },
      completion: { command: true, onShow: shown },
      brief: about("Exact attention from the command line: about this machine, and on files."),
      footer: about(`${PROGRAM} COMMAND --help has the flags of a command, and examples.`),
      usageLine: [{ type: "literal", value: "COMMAND [FLAG...]" }],
      ...{ showChoices: true, termWidth: "auto", maxWidth: Math.min(columns ?? 100, 100) },
      ...{ aboveError: "none", onError: () => EXIT.usage },
      stdout: (text) => stdout(`${text}\n`),
      stderr: (text) => complain(text.replace(/^Error: /, ""), EXIT.usage, args, stderr),
    },
  ) as Invocation | ExitCode;
}

function complain(
  message: string,
  code: ExitCode,
  args: readonly string[],
  stderr: CliHost["stderr"],
): void {
  const json = args.includes("--json");
  stderr(`${json ? JSON.stringify({ error: message, exitCode: code }) : message}\n`);
}

/** JSON has no infinite numbers. */
function toJson(data: object): string {
  const plain = (_: string, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  return JSON.stringify(data, plain, 2);
}

function print({ data, text }: Report, { json, stdout }: Session): void {
  stdout(json ? `${toJson(data)}\n` : text.endsWith("\n") ? text : `${text}\n`);
}

/** Runs the command line on a host; the exit code. */
async function runCli(args: readonly string[], host: CliHost): Promise<ExitCode> {
  const invocation = parse(args.length === 0 ? ["--help"] : args, host);
  if (typeof invocation === "number") return invocation;
  const { columns, signal = new AbortController().signal } = host, { json } = invocation;
  const session: Session = { ...host, columns, signal, json };
  try {
    const report = await invocation.run(session);
    print(report, session);
    return report.code ?? EXIT.done;
  } catch (error) {
    const { flags } = COMMANDS.find(({ name }) => name === invocation.command)!;
    const code = codeOf(error);
    complain(messageOf(error, flags), code, args, host.stderr);
    return code;
  }
}

/**
 * Runs the command line with `args`, which are words as a shell has split them, and returns the exit code: 0 done, 1 a
 * check failed, 2 wrong flags, 3 a file, 4 what this machine cannot do, 5 a fault of the program, 130 interrupted.
 * Nothing is thrown. Without a host, output goes to the process, and SIGINT and SIGTERM stop what is under way.
 *
 * @example
 * ```ts
 * import { main } from "@flashtile/attention/cli";
 *
 * const errors: string[] = [];
 * const host = { stdout: () => {}, stderr: (text: string) => errors.push(text) };
 * console.log(await main(["run", "--sofcap", "3"], host)); // 2
 * console.log(errors[0]); // Cannot use --sofcap with run: did you mean --softcap?
 * ```
 */
export async function main(args: readonly string[], host?: CliHost): Promise<number> {
  if (host) return await runCli(args, host);
  const own = processHost();
  try {
    const code = await runCli(args, own), lost = await own.settled();
    if (!lost) return code;
    complain(`Cannot write to stdout: ${systemReason(lost)}`, EXIT.file, args, own.stderr);
    return EXIT.file;
  } finally {
    await own.close();
  }
}
