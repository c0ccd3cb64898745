// What a command is: a record in a file of its own, and a line in commands.ts.
import { map, object, option, type Parser, text } from "./optique.ts";
import type { ExitCode } from "./exit.ts";
import type { Session } from "./session.ts";

/** A flag: what it is called follows from how it was made (values.ts). */
export type Flag<T = unknown> = Parser<"sync", T, unknown>;

/** Flags by the names that a command knows their values by. */
export type Flags = Readonly<Record<string, Flag>>;

/** The flags of values. */
export type FlagsOf<V> = { readonly [N in keyof V]-?: Flag<V[N]> };

/** The values of flags. */
export type ValuesOf<F extends Flags> = {
  readonly [N in keyof F]: F[N] extends Flag<infer T> ? T : never;
};

/** What a command found: the same as data and as text. */
export interface Report {
  /** For `--json`; infinite numbers and NaN become texts. */
  readonly data: object;
  /** Lines to read. */
  readonly text: string;
  /** Default 0. */
  readonly code?: ExitCode;
}

/** How a command is used. */
export interface Example {
  /** What it shows. */
  readonly what: string;
  /** Arguments, without the name of the program. */
  readonly args: string;
}

/** A command. */
export interface Command {
  /** What is typed; two words are a command of a group. */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** What else there is to know. */
  readonly details: string;
  readonly examples: readonly Example[];
  /** Flags as they are typed. */
  readonly flags: ReadonlySet<string>;
  /** Reads its flags; what comes out runs it. */
  readonly parser: Parser<"sync", Invocation, unknown>;
}

/** A command with its flags read. */
export interface Invocation {
  readonly command: string;
  readonly json: boolean;
  readonly run: (session: Session) => Promise<Report>;
}

/** Makes the record of a command. */
export function defineCommand<const F extends Flags>(
  { name, summary, details, examples, flags, run }: {
    readonly name: string;
    readonly summary: string;
    readonly details: string;
    readonly examples: readonly Example[];
    readonly flags: F;
    readonly run: (values: ValuesOf<F>, session: Session) => Promise<Report>;
  },
): Command {
  const json = option("--json", { description: [text("Print the result as JSON.")] });
  const all = object({ ...flags, json } as Flags) as Parser<"sync", unknown, unknown>;
  const parser = map(all, (values): Invocation => ({
    command: name,
    json: (values as { json: boolean }).json,
    run: (session) => run(values as ValuesOf<F>, session),
  }));
  return { name, summary, details, examples, flags: namesOf(parser), parser };
}

/** The flags that a parser knows, from its usage. */
function namesOf(parser: Pick<Parser, "usage">): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (part: unknown): void => {
    if (Array.isArray(part)) return part.forEach((inner) => visit(inner));
    if (typeof part !== "object" || part === null) return;
    const { type, names: own } = part as { type?: string; names?: readonly string[] };
    if (type === "option") { for (const name of own ?? []) names.add(name); }
    else Object.values(part).forEach(visit);
  };
  visit(parser.usage);
  return names;
}
