/** Which folder may import which: the dependency rule of the architecture, read from the files themselves. */

import assert from "node:assert/strict";
import { posix } from "node:path";

const root = new URL("../../", import.meta.url);

interface Import {
  readonly file: string;
  /** Path from the root of the project, or the specifier where it is not relative. */
  readonly target: string;
  readonly typeOnly: boolean;
  /** `import()`: loaded when it is reached. */
  readonly dynamic: boolean;
}

function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(new URL(`${folder}/`, root))].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return filesUnder(`${folder}/${name}`);
    return name.endsWith(".ts") ? [`${folder}/${name}`] : [];
  });
}

/** `type A, type B`, or a clause that begins with `type`: erased before anything runs. */
function isTypeClause(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true;
  const named = clause.match(/^\s*\{([^}]*)\}\s*$/);
  if (!named) return false;
  return named[1].split(",").map((name) => name.trim()).filter((name) => name !== "")
    .every((name) => name.startsWith("type "));
}

function importsOf(file: string): Import[] {
  // comments hold examples with imports of their own
  const text = Deno.readTextFileSync(new URL(file, root))
    .replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  const statement = /^(?:import|export)\b([^;"']*?)\bfrom\s*"([^"]+)"|\bimport\s*\(?\s*"([^"]+)"/gm;
  return [...text.matchAll(statement)].map(([whole, clause = "", from, bare]) => {
    const specifier = from ?? bare;
    const target = specifier.startsWith(".")
      ? posix.normalize(posix.join(posix.dirname(file), specifier))
      : specifier;
    const typeOnly = from !== undefined && isTypeClause(clause);
    return { file, target, typeOnly, dynamic: /^import\s*\(/.test(whole) };
  });
}

const source = filesUnder("src").filter((file) => !file.endsWith(".gen.ts"));
const imports = source.flatMap(importsOf);

/** Fails with every import that breaks a rule. */
function assertNone(forbidden: readonly Import[]): void {
  const lines = forbidden.map(({ file, target }) => `${file} imports ${target}`);
  assert.deepEqual(lines, [], "imports against the dependency rule");
}

function isIn(path: string, places: readonly string[]): boolean {
  return places.some((place) => path === place || path.startsWith(`${place}/`));
}

const backends = ["src/wasm", "src/webgpu"];
const callers = ["src/options.ts", "src/engine.ts", "src/engine_options.ts", "src/attention.ts"];

/** From, what it must not import (types included), what it may all the same. */
const rules: readonly { from: string[]; never: string[]; but?: string[] }[] = [
  { from: ["src/problem.ts"], never: ["src/plan", ...backends, "asm"] },
  // a feature's record names the flag by which kernels know it
  { from: ["src/features"], never: ["src/plan", ...backends, "asm"], but: ["asm/abi.ts"] },
  {
    from: ["src/operand.ts", "src/tensor.ts", "src/dtype.ts", "src/errors.ts"],
    never: ["src/plan", ...backends],
  },
  { from: ["src/plan"], never: [...backends, "asm"], but: ["asm/abi.ts"] },
  { from: ["src/plan"], never: callers },
  // what every backend builds on knows none of them
  { from: ["src/backend.ts", "src/results.ts"], never: [...backends, "asm"] },
  { from: ["src/wasm"], never: ["asm", "shaders"], but: ["asm/abi.ts"] },
];

for (const { from, never, but = [] } of rules) {
  const except = but.length ? ` but ${but.join(", ")}` : "";
  Deno.test(`${from.join(" and ")} import nothing from ${never.join(" and ")}${except}`, () => {
    const own = imports.filter(({ file }) => isIn(file, from));
    assert.ok(own.length > 0, "the rule is about files that exist");
    assertNone(own.filter(({ target }) => isIn(target, never) && !isIn(target, but)));
  });
}

Deno.test("backends do not import each other, nor what calls them", () => {
  for (const backend of backends) {
    const others = [...backends, ...callers].filter((place) => place !== backend);
    const own = imports.filter(({ file }) => isIn(file, [backend]));
    assertNone(own.filter(({ target }) => isIn(target, others)));
  }
});

Deno.test("only engines, their options and the raw kernels know backends", () => {
  const hosts = ["src/engine.ts", "src/engine_options.ts", "src/gpu_host.ts", "src/kernels.ts"];
  const may = [...hosts, ...backends];
  const others = imports.filter(({ file }) => !isIn(file, may));
  assertNone(others.filter(({ target }) => isIn(target, backends)));
});

Deno.test("nothing that runs in problem, plan or results reaches a backend, by any path", () => {
  const running = imports.filter(({ typeOnly }) => !typeOnly);
  const places = ["src/problem.ts", "src/features", "src/plan", "src/backend.ts", "src/results.ts"];
  const starts = source.filter((file) => isIn(file, places));
  const seen = new Set(starts), queue = [...starts];
  for (const file of queue) {
    for (const { target } of running.filter((one) => one.file === file)) {
      assert.ok(!isIn(target, [...backends, "src/engine.ts"]), `${file} reaches ${target}`);
      if (!seen.has(target)) queue.push(target);
      seen.add(target);
    }
  }
});

Deno.test("the code for GPUs is loaded when one is looked for, not before", () => {
  const atOnce = [...importsOf("mod.ts"), ...imports].filter((one) =>
    !one.typeOnly && !one.dynamic
  );
  const seen = new Set(["mod.ts"]), queue = ["mod.ts"];
  for (const file of queue) {
    for (const { target } of atOnce.filter((one) => one.file === file)) {
      assert.ok(!isIn(target, ["src/webgpu", "shaders"]), `${file} loads ${target}`);
      if (!seen.has(target)) queue.push(target);
      seen.add(target);
    }
  }
  assert.ok(seen.has("src/wasm/backend.ts"));
});

Deno.test("no file of src takes part in a cycle of imports that run", () => {
  const running = imports.filter(({ typeOnly }) => !typeOnly);
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), `a cycle: ${[...path, file].join(" -> ")}`);
    if (done.has(file)) return;
    for (const one of running) if (one.file === file) visit(one.target, [...path, file]);
    done.add(file);
  };
  for (const file of source) visit(file, []);
});

Deno.test("src imports its own files only: the library has no dependency", () => {
  assertNone(imports.filter(({ target }) => !isIn(target, ["src", "asm/abi.ts", "shaders"])));
});

Deno.test("tests/reference imports nothing from src", () => {
  const reference = filesUnder("tests/reference").flatMap(importsOf);
  assert.ok(reference.length > 0);
  assertNone(reference.filter(({ target }) => !isIn(target, ["tests/reference", "tests/half.ts"])));
  assertNone(importsOf("tests/half.ts"));
});
