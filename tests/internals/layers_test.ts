/** Which folder may import which: the dependency rule of the architecture, read from the files themselves. */

import assert from "node:assert/strict";
import { posix } from "node:path";
import { BUNDLED } from "../../tools/bundled.ts";

const root = new URL("../../", import.meta.url);

/** From the top: a folder imports itself and what stands below it. Types count as well. */
const LAYERS: readonly (readonly string[])[] = [
  ["mod.ts"],
  ["src/cli.ts"],
  ["src/cli"],
  [
    "src/onnx.ts",
    "src/interop.ts",
    "src/tfjs.ts",
    "src/check.ts",
    "src/cluster.ts",
    "src/cluster/node_main.ts",
  ],
  ["src/onnx", "src/interop", "src/tfjs", "src/check", "src/cluster"],
  [
    "src/attention.ts",
    "src/inside.ts",
    "src/kernels.ts",
    "src/max_sim.ts",
    "src/rotary.ts",
    "src/wasm.ts",
  ],
  ["src/types.ts"],
  ["src/options.ts"],
  ["src/engine"],
  ["src/verify"],
  ["src/cache"],
  ["src/wasm", "src/webgpu"], // side by side: they know nothing of each other
  ["src/backend"],
  ["shaders/kernels"],
  ["shaders/features"],
  ["shaders/expression"],
  ["shaders/parts"],
  ["src/plan"],
  ["shaders/abi.ts"],
  ["src/problem"],
  ["src/expression"],
  ["src/tensor"],
  ["asm/abi.ts", "asm/tables.gen.ts"],
];
/** What only some may import, although it stands below others. */
const PRIVATE: Readonly<Record<string, readonly string[]>> = {
  "shaders": ["src/webgpu", "shaders"],
  "shaders/abi.ts": ["src/webgpu", "src/plan", "shaders"],
  "asm/abi.ts": ["src/wasm", "src/plan"],
  "asm/tables.gen.ts": ["src/wasm", "src/plan"],
};
/** The one entry that may import what is not the library's: Node's modules, and packages in these files. */
const COMMAND_LINE = ["src/cli.ts", "src/cli"];

/** Folders inside of a layer, from the top: src/plan's two planners share what lies beside them. */
const INNER: readonly (readonly (readonly string[])[])[] = [
  [
    ["src/wasm/backend.ts"],
    ["src/wasm/crew.ts"],
    ["src/wasm/explain.ts", "src/wasm/settings.ts"],
    ["src/wasm/run"],
    ["src/wasm/memory"],
    ["src/wasm/module"],
  ],
  [
    ["src/webgpu/tune"],
    ["src/webgpu/backend.ts"],
    ["src/webgpu/explain.ts", "src/webgpu/dispatch"],
    [
      "src/webgpu/device",
    ],
  ],
  [
    ["src/plan/estimate.ts", "src/plan/wasm", "src/plan/webgpu"],
    ["src/plan/results.ts"],
    ["src/plan/cost.ts"],
    ["src/plan/visible.ts"],
    ["src/plan/kernel.ts", "src/plan/target.ts"],
  ],
  [
    ["src/cluster/run_node.ts", "src/cluster/ask_status.ts"],
    ["src/cluster/command_line.ts", "src/cluster/late_sockets.ts"],
    ["src/cluster/node", "src/cluster/client"], // they meet on the wire
    ["src/cluster/options"],
    ["src/cluster/merge.ts", "src/cluster/split.ts", "src/cluster/stripes.ts"],
    ["src/cluster/wire"],
  ],
];

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
  return named[1]!.split(",").map((name) => name.trim()).filter((name) => name !== "")
    .every((name) => name.startsWith("type "));
}

function importsOf(file: string): Import[] {
  // comments hold examples with imports of their own
  const text = Deno.readTextFileSync(new URL(file, root))
    .replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  const statement =
    /^(?:import|export)\b([^;"']*?)\bfrom\s*"([^"]+)"|(?<!")\bimport\s*\(?\s*"([^"]+)"/gm;
  return [...text.matchAll(statement)].map(([whole, clause = "", from, bare]) => {
    const specifier = (from ?? bare)!;
    const target = specifier.startsWith(".")
      ? posix.normalize(posix.join(posix.dirname(file), specifier))
      : specifier;
    const typeOnly = from !== undefined && isTypeClause(clause);
    return { file, target, typeOnly, dynamic: /^import\s*\(/.test(whole) };
  });
}

const source = [
  "mod.ts",
  ...filesUnder("src"),
  ...filesUnder("shaders"),
  "asm/abi.ts",
  "asm/tables.gen.ts",
]
  .filter((file) => !file.endsWith("kernels.gen.ts"));
const imports = source.flatMap(importsOf);

/** Fails with every import that breaks a rule. */
function assertNone(forbidden: readonly Import[]): void {
  const lines = forbidden.map(({ file, target }) => `${file} imports ${target}`);
  assert.deepEqual(lines, [], "imports against the dependency rule");
}

function isIn(path: string, places: readonly string[]): boolean {
  return places.some((place) => path === place || path.startsWith(`${place}/`));
}

/** The layer of a file and its place in it; the longest name that fits counts. */
function placeOf(
  file: string,
  layers: readonly (readonly string[])[],
): { layer: number; place: string } | undefined {
  const fits = layers.flatMap((places, layer) => places.map((place) => ({ layer, place })))
    .filter(({ place }) => isIn(file, [place]));
  return fits.sort((a, b) => b.place.length - a.place.length)[0];
}

/** Imports that run up, or to a neighbour. */
function climbing(layers: readonly (readonly string[])[]): Import[] {
  return imports.filter(({ file, target }) => {
    const from = placeOf(file, layers), to = placeOf(target, layers);
    if (!from || !to || from.place === to.place) return false;
    return to.layer <= from.layer;
  });
}

Deno.test("every file has a layer, and every layer has files", () => {
  assert.deepEqual(source.filter((file) => !placeOf(file, LAYERS)), []);
  for (const places of [...LAYERS, ...INNER.flat()].flat()) {
    assert.ok(source.some((file) => isIn(file, [places])), `${places} is empty`);
  }
});

Deno.test("imports run down the layers", () => assertNone(climbing(LAYERS)));

Deno.test("imports run down inside of the backends and the planners", () => {
  for (const layers of INNER) assertNone(climbing(layers));
});

Deno.test("shaders and the contract of asm are known to few", () => {
  assertNone(imports.filter(({ file, target }) => {
    const found = placeOf(target, Object.keys(PRIVATE).map((place) => [place]));
    return found !== undefined && !isIn(file, PRIVATE[found.place]!);
  }));
  assertNone(
    imports.filter(({ target }) =>
      isIn(target, ["asm"]) && !isIn(target, ["asm/abi.ts", "asm/tables.gen.ts"])
    ),
  );
});

Deno.test("the two planners do not know each other", () => {
  const both = ["src/plan/wasm", "src/plan/webgpu"];
  assertNone(imports.filter(({ file, target }) => {
    const from = both.find((place) => isIn(file, [place]));
    return from !== undefined && isIn(target, both) && !isIn(target, [from]);
  }));
});

Deno.test("the code for GPUs is loaded when one is looked for, not before", () => {
  const atOnce = imports.filter((one) => !one.typeOnly && !one.dynamic);
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

Deno.test("the gradient checker is of no other entry but the command line, and knows no kernel", () => {
  const checker = ["src/check.ts", "src/check"], known = ["src/tensor"];
  assertNone(
    imports.filter(({ file, target }) =>
      !isIn(file, [...checker, "src/cli"]) && isIn(target, checker)
    ),
  );
  assertNone(
    imports.filter(({ file, target, typeOnly }) =>
      isIn(file, checker) && !typeOnly && !isIn(target, [...checker, ...known])
    ),
  );
});

Deno.test("no file takes part in a circle of imports, types included", () => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), `a circle: ${[...path, file].join(" -> ")}`);
    if (done.has(file)) return;
    for (const one of imports) if (one.file === file) visit(one.target, [...path, file]);
    done.add(file);
  };
  for (const file of source) visit(file, []);
});

/** What the cluster imports beside this library's own files, and nothing else does. */
const OF_THE_CLUSTER = ["@nats-io", "node:process", "node:timers", "node:util"];

Deno.test("the library imports its own files only: it has no dependency, but for the cluster's", () => {
  assertNone(
    imports.filter(({ file, target }) =>
      !isIn(file, COMMAND_LINE) &&
      !isIn(target, ["src", "asm/abi.ts", "asm/tables.gen.ts", "shaders"]) &&
      !(isIn(file, ["src/cluster"]) && isIn(target, OF_THE_CLUSTER))
    ),
  );
});

Deno.test("the command line is of no other entry, and has packages in two files that are bundled", () => {
  assertNone(
    imports.filter(({ file, target }) => !isIn(file, COMMAND_LINE) && isIn(target, COMMAND_LINE)),
  );
  const foreign = imports.filter(({ file, target }) =>
    isIn(file, COMMAND_LINE) && !target.startsWith("node:") && !isIn(target, ["src"])
  );
  assert.deepEqual(new Set(foreign.map(({ file }) => file)), new Set(BUNDLED));
});

Deno.test("the cluster is of no other entry; commands of the command line load it when they run", () => {
  const cluster = ["src/cluster.ts", "src/cluster"];
  const from = imports.filter(({ file, target }) => !isIn(file, cluster) && isIn(target, cluster));
  assertNone(from.filter(({ file, dynamic }) => !dynamic || !isIn(file, ["src/cli/commands"])));
});

Deno.test("tests/reference imports nothing from src", () => {
  const reference = filesUnder("tests/reference").flatMap(importsOf);
  assert.ok(reference.length > 0);
  assertNone(reference.filter(({ target }) => !isIn(target, ["tests/reference", "tests/half.ts"])));
  assertNone(importsOf("tests/half.ts"));
});
