/**
 * A feature is one record and one file for each backend: its name stands nowhere else. And the sizes of files and
 * functions that one can still read.
 */

import assert from "node:assert/strict";
import { FEATURES } from "../../src/problem/features/table.ts";

const root = new URL("../../", import.meta.url);

/**
 * Where the name of a feature may stand: its own files, the tables, the options, what is exported, the contract with asm,
 * an operator that is made of options, a checker that knows what they mean, and what becomes of them on other machines.
 */
const OWN = [
  "src/problem/features/",
  "src/problem/call_options.ts",
  "src/cache/append.ts",
  "src/cache/kv_cache.ts",
  "src/options.ts",
  "src/rotary.ts",
  "src/types.ts",
  "src/wasm.ts",
  "src/onnx.ts",
  "src/onnx/",
  "src/tfjs.ts",
  "src/tfjs/",
  "src/check.ts",
  "src/check/",
  "src/cli/flags/call.ts",
  "src/cluster/options/",
  "src/expression/",
  "src/tensor/operands.ts",
  "asm/abi.ts",
  "asm/features/",
  "shaders/features/",
];

/** Names that are also something else: the word, files where it is that, and what it is there. */
const OTHER_MEANINGS: readonly { word: string; files: readonly string[]; meaning: string }[] = [
  {
    word: "mask",
    files: ["src/expression/score_mod.ts", "src/expression/masks.ts"],
    meaning: "maskMod: functions that say which pairs are visible",
  },
  { word: "rotary", files: ["src/engine/engine.ts"], meaning: "applyRotary: a call of its own" },
];

const STRUCTURAL = FEATURES.filter(({ perScore, stage }) => stage === "hide" && !perScore);

function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(new URL(`${folder}/`, root))].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return filesUnder(`${folder}/${name}`);
    return name.endsWith(".ts") ? [`${folder}/${name}`] : [];
  });
}

const files = ["src", "asm", "shaders"].flatMap(filesUnder).filter((f) => !f.endsWith(".gen.ts"));
const read = (file: string) => Deno.readTextFileSync(new URL(file, root));

/** Text without comments: a comment may explain by example. Strings stay, they are WGSL. */
function code(file: string): string {
  return read(file).replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*$/gm, "");
}

/** The words of all identifiers: `biasTile4` is bias, tile. Public type names are one word. */
function words(text: string): Set<string> {
  const found = new Set<string>();
  for (const [name] of text.replaceAll("MaskTensor", "").matchAll(/[A-Za-z]+/g)) {
    for (const word of name.match(/[A-Z]?[a-z]+|[A-Z]+/g) ?? []) found.add(word.toLowerCase());
  }
  return found;
}

/** The word that gives a feature away: alibi of alibiSlopes. */
const stem = (name: string) => name.match(/^[a-z]+/)![0];
/** Names whose words are those of others: looked for as a whole. */
const WHOLE: Readonly<Record<string, RegExp>> = {
  scoreMod: /score_?mod/i,
  maskMod: /mask_?mod/i,
  blockMask: /block_?mask/i,
};

Deno.test("the name of a feature stands in its own files only", () => {
  const strangers: string[] = [];
  const acting = FEATURES.filter((feature) => !STRUCTURAL.includes(feature));
  for (const file of files) {
    if (OWN.some((place) => file === place || (place.endsWith("/") && file.startsWith(place)))) {
      continue;
    }
    const text = code(file), found = words(text);
    for (const { name } of acting) {
      if (WHOLE[name]) {
        if (WHOLE[name].test(text)) strangers.push(`${file} knows ${name}`);
        continue;
      }
      const word = stem(name);
      const excused = OTHER_MEANINGS.some((other) =>
        other.word === word && other.files.includes(file)
      );
      if (found.has(word) && !excused) strangers.push(`${file} knows ${name}`);
    }
  }
  assert.deepEqual(strangers, []);
});

Deno.test("excuses are needed", () => {
  for (const { word, files } of OTHER_MEANINGS) {
    for (const file of files) {
      assert.ok(words(code(file)).has(word), `${file} says ${word} no more`);
    }
  }
});

Deno.test("a structural mask has no code in any kernel", () => {
  const kernels = files.filter((file) => /^(asm|shaders)\//.test(file));
  const names = STRUCTURAL.map(({ name }) => new RegExp(`\\b${name}\\b`));
  const strangers = kernels.filter((file) => names.some((name) => name.test(code(file))));
  assert.deepEqual(strangers, []);
});

const MOST_LINES = { file: 320, function: 80 };

Deno.test("no file is too long to be read at once", () => {
  const long = files.map((file) => ({ file, lines: read(file).split("\n").length - 1 }))
    .filter(({ lines }) => lines > MOST_LINES.file);
  assert.deepEqual(long, []);
});

/** Functions and methods with their lines: from a line that begins one to the brace at its indentation. */
function functionsOf(file: string): { name: string; lines: number }[] {
  const lines = read(file).split("\n");
  const begin =
    /^(\s*)(?:export )?(?:async )?(?:function\*? (\w+)|(?:static |async |\*)*(#?\w+)\([^;]*$)/;
  return lines.flatMap((line, n) => {
    const [, indent, name, method] = line.match(begin) ?? [];
    const called = name ?? method;
    if (called === undefined || ["if", "for", "while", "switch", "return"].includes(called)) {
      return [];
    }
    if (method !== undefined && indent !== "  ") return []; // a call, not a method
    const end = lines.findIndex((other, m) =>
      m > n && other.startsWith(`${indent}}`) && !other.startsWith(`${indent}} `) &&
      !/^\s*\}[),]/.test(other)
    );
    return end < 0 ? [] : [{ name: `${file}: ${called}`, lines: end - n + 1 }];
  });
}

Deno.test("no function is longer than a screen and a half", () => {
  assert.ok(files.flatMap(functionsOf).length > 300);
  const long = files.flatMap(functionsOf).filter(({ lines }) => lines > MOST_LINES.function);
  assert.deepEqual(long, []);
});
