// Values of flags: how each kind is read, with a sentence for people, and what a shell offers for it.
import type { Flag } from "./command.ts";
import {
  choice,
  type Message,
  option,
  optional,
  type Suggestion,
  text,
  type ValueParser,
} from "./optique.ts";

/** What a flag takes. */
export interface Kind<T> {
  /** What stands for the value in help: `N`. */
  readonly metavar: string;
  /** "a number above 0": what errors say is wanted. */
  readonly wanted: string;
  /** The value; undefined where the text is no such thing. */
  readonly read: (text: string) => T | undefined;
  readonly suggest?: (prefix: string) => Iterable<Suggestion>;
}

/** A flag with a value; undefined where it is not given. */
export function valueFlag<T>(
  name: `--${string}`,
  kind: Kind<T>,
  what: string,
): Flag<T | undefined> {
  const parser: ValueParser<"sync", T> = {
    mode: "sync",
    metavar: kind.metavar as ValueParser["metavar"],
    placeholder: undefined as T,
    parse(input) {
      const value = kind.read(input);
      if (value !== undefined) return { success: true, value };
      return {
        success: false,
        error: said(`Cannot use ${name} ${input}: expected ${kind.wanted}`),
      };
    },
    format: String,
    ...(kind.suggest && { suggest: kind.suggest }),
  };
  return optional(option(name, parser, described(name, what)));
}

/** A flag that is there or not. */
export function switchFlag(name: `--${string}`, what: string): Flag<boolean> {
  return option(name, { description: said(what) });
}

/** A flag with one of a few words. */
export function choiceFlag<const T extends string>(
  name: `--${string}`,
  words: readonly T[],
  what: string,
): Flag<T | undefined> {
  const list = `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  const known = choice(words, { metavar: "WORD" });
  const parser: ValueParser<"sync", T> = {
    ...known,
    parse(input) {
      const result = known.parse(input);
      if (result.success) return result;
      return { success: false, error: said(`Cannot use ${name} ${input}: expected ${list}`) };
    },
  };
  return optional(option(name, parser, described(name, what)));
}

function said(message: string): Message {
  return [text(message)];
}

function described(name: string, what: string) {
  return {
    description: said(what),
    errors: {
      invalidValue: (error: Message) => error,
      duplicate: said(`Cannot use ${name} twice`),
    },
  };
}

/** What a shell offers where a value may be one of a few words. */
export function words(...all: readonly string[]): NonNullable<Kind<unknown>["suggest"]> {
  return (prefix) =>
    all.filter((text) => text.startsWith(prefix)).map((text) => ({ kind: "literal", text }));
}

/** Numbers that fit. */
export function numberKind(wanted: string, fits: (value: number) => boolean): Kind<number> {
  return {
    ...{ metavar: "X", wanted },
    read: (text) => {
      const value = text.trim() === "" ? NaN : Number(text);
      return fits(value) ? value : undefined;
    },
  };
}

/** Whole numbers of at least `least`. */
export function wholeKind(least: number): Kind<number> {
  const fits = (value: number) => Number.isSafeInteger(value) && value >= least;
  return { ...numberKind(`a whole number, at least ${least}`, fits), metavar: "N" };
}

/** Whole numbers with commas between them. */
export function wholesKind(least: number): Kind<readonly number[]> {
  const one = wholeKind(least);
  return {
    metavar: "N,N",
    wanted: `whole numbers of at least ${least} with commas between them`,
    read: (text) => {
      const values = text.split(",").map(one.read);
      return values.every((value) => value !== undefined) ? values : undefined;
    },
  };
}

/** A part of an axis, `FIRST:END`. */
export const rangeKind: Kind<readonly [number, number]> = {
  metavar: "FIRST:END",
  wanted: "two whole numbers like 0:128, the second one past the last",
  read: (text) => {
    const [, first, end] = /^(\d+):(\d+)$/.exec(text) ?? [];
    return end === undefined ? undefined : [Number(first), Number(end)];
  },
};

/** A file, which the shell completes. */
export function fileKind(extensions: readonly string[], wanted = "a file"): Kind<string> {
  return {
    ...{ metavar: "FILE", wanted },
    read: (text) => text === "" ? undefined : text,
    suggest: (prefix) => [{ kind: "file", type: "file", pattern: prefix, extensions }],
  };
}
