/** What pages and comments name is there: paths, links, names of code, values of constants. */

import assert from "node:assert/strict";
import { posix } from "node:path";
import { code, codeWords, exists, FILES, PROSE, quoted } from "./prose.ts";

/** Files of an example in prose, which are not there. */
const IMAGINED = /(^|\/)cubic\.ts$/;

/** Fails with all of `lines`, each once. */
function assertNone(lines: readonly string[]): void {
  assert.deepEqual([...new Set(lines)], []);
}

/** The matches of `pattern` in every page and comment that `wrong` says something of. */
function findWrong(
  pattern: RegExp,
  wrong: (match: RegExpMatchArray, file: string) => string | undefined | false,
  part: "whole" | "text" = "text",
): string[] {
  return PROSE.flatMap(({ file, [part]: text }) =>
    [...text.matchAll(pattern)].flatMap((match) => {
      const complaint = wrong(match, file);
      return complaint ? [`${file} ${complaint}`] : [];
    })
  );
}

Deno.test("every path that a page or a comment names is there", () => {
  const folders = "src|asm|shaders|tools|tests|docs|examples|bench";
  const path = new RegExp(`(?<![\\w/.-])(?:${folders})/[\\w/.-]*\\.(?:ts|md|jsonl)\\b`, "g");
  const wrong = ([path]: RegExpMatchArray) =>
    !IMAGINED.test(path) && !exists(path) && `names ${path}`;
  assertNone(findWrong(path, wrong, "whole"));
});

Deno.test("every file that is named without its folder is there", () => {
  const names = new Set(FILES.map((file) => posix.basename(file)));
  const name = /(?<![\w/.*-])[a-z]\w*(?:\.gen)?\.ts\b/g;
  assertNone(
    findWrong(name, ([name]) => !IMAGINED.test(name) && !names.has(name) && `names ${name}`),
  );
});

Deno.test("every link of a page leads to a file", () => {
  const link = /\]\((?!\w+:|#)([^)#\s]+)[^)]*\)/g;
  assertNone(findWrong(link, ([, target], file) => {
    if (!file.endsWith(".md")) return false;
    return !exists(posix.join(posix.dirname(file), target!)) && `links to ${target}`;
  }));
});

Deno.test("no page and no comment names a path outside of the repository", () => {
  const outside =
    /(?<![\w.~/-])(?:\/(?:work|home|root|Users|mnt|tmp)\/|[A-Z]:\\|shared\/)[\w./-]*/g;
  const up = /(?<![\w./])(?:\.\.\/)+[\w./-]*/g;
  assertNone([
    ...findWrong(outside, ([path]) => `names ${path}`),
    ...findWrong(
      up,
      ([path], file) => posix.join(posix.dirname(file), path).startsWith("..") && `names ${path}`,
    ),
  ]);
});

/** Names of other programs, languages and hosts, which no code here contains. */
const FOREIGN: ReadonlySet<string> = new Set([
  ...["dO", "dP"], // mathematics
  ...["NODE_OPTIONS", "VK_DRIVER_FILES", "sched_vcpu_pack", "hooksPath"],
  ...["erasableSyntaxOnly", "merge_state"],
  "biasTile4", // an example
]);
/** Pages about the names of others. */
const ABOUT_OTHERS = ["docs/names.md", "docs/migrate/"];

/** Whether a word looks like a name of code: camelCase, PascalCase, UPPER_CASE or snake_case. */
function looksLikeCode(word: string): boolean {
  return /^[a-z]+[A-Z]|^[A-Z][a-z]+[A-Z]|^[A-Z][A-Z0-9]*_[A-Z0-9_]+$|^[a-z]\w*_[a-z]\w*$/.test(
    word,
  );
}

Deno.test("every name in backticks is one of the code", () => {
  const words = codeWords(), strangers: string[] = [];
  for (const { file, text } of PROSE) {
    if (ABOUT_OTHERS.some((place) => file.startsWith(place))) continue;
    for (const span of quoted(text)) {
      const names = span.replaceAll(/[\w.~@:-]*\/[\w./~-]*/g, "").match(/[A-Za-z_]\w*/g) ?? [];
      const missing = names.filter((name) => looksLikeCode(name) && !words.has(name));
      strangers.push(
        ...missing.filter((name) => !FOREIGN.has(name)).map((n) => `${file} names ${n}`),
      );
    }
  }
  assertNone(strangers);
});

Deno.test("foreign names are needed", () => {
  const words = codeWords(), spans = PROSE.flatMap(({ text }) => quoted(text)).join("\n");
  for (const name of FOREIGN) {
    assert.ok(!words.has(name), `${name} is a name of the code by now`);
    assert.match(spans, new RegExp(`\\b${name}\\b`), `no page names ${name}`);
  }
});

Deno.test("a name that is said to be in a file is there", () => {
  const claim = /`?\b(\w+)(\(\))?`?,? (?:in|of|\() ?`?((?:[\w.-]+\/)*\w[\w.-]*\.ts)\b/g;
  assertNone(findWrong(claim, ([whole, name, call, path]) => {
    if (!call && !looksLikeCode(name!) && !whole.startsWith("`")) return false;
    const found = FILES.filter((file) => file === path || file.endsWith(`/${path}`));
    if (IMAGINED.test(path!) || found.length === 0) return false;
    const there = found.some((file) => new RegExp(`\\b${name}\\b`).test(code(file)));
    return !there && `says that ${name} is in ${path}`;
  }));
});

/** The value of a number as code or prose writes it; NaN of anything else. */
function valueOf(text: string): number {
  const plain = text.replaceAll("_", "").replaceAll(" ", "");
  if (!/^[\d.e*+()-]+$/.test(plain)) return NaN;
  return Number(new Function(`return ${plain}`)());
}

Deno.test("a constant that is quoted with its value has that value", () => {
  const all = FILES.filter((file) => /^(src|asm|shaders|tools|bench|tests)\/.*\.ts$/.test(file))
    .map(code).join("\n");
  const claim =
    /`([A-Z][A-Z0-9_]+)(?:` \(| = |` = |` is )`?([\d_.e*+ -]*\d)`?(?: in\s+`([\w/.]+\.ts)`)?/g;
  let checked = 0;
  assertNone(findWrong(claim, ([, name, value, file]) => {
    const text = file && exists(file) ? code(file) : all;
    const set = [...text.matchAll(new RegExp(`\\b${name}(?:: \\w+)? = ([^;,\\n]+)`, "g"))];
    const values = set.map(([, text]) => valueOf(text!)).filter((n) => !Number.isNaN(n));
    if (values.length > 0) checked++;
    return !values.includes(valueOf(value!)) && `says ${name} is ${value}, the code ${values}`;
  }));
  assert.ok(checked >= 3, `${checked} constants are quoted with their values`);
});
