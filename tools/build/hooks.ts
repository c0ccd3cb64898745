// Writes asm/stages/scores.gen.ts: what features do to scores, pairs and rows, as guarded calls of the hooks
// that asm/features/<feature>.ts exports, in the order of the feature table. Hooks of a feature, all optional:
//
//   scoreTile      n scores of four lanes              scoreOne      one score in float64
//   HIDES          scores may come out minus infinity  slopeOne      d score / d what it was before
//   fades          whether most weights of a row may be tiny
//   scorePanel     n scores of all lanes               slopes        whether slopes are not 1, if that depends
//   hideTile       masks n scores of four lanes        hideOne       whether a pair is masked
//   hidePanel      masks n scores of all lanes
//   hideAll        whether a run of keys is masked     hideRow       the same of one row
//   mostAdded      the most that is added to a score of a row, of those that may lie near the end of float32
//   stateLogit     a logit that joins the sum of a row
//   probabilityTile  P of n keys of four lanes, and P dP;   probabilityOne  the factor of P of one pair, 0 for none
//   LANE_WORDS, setLane  words of a lane that tile hooks are given, for features without operands
//   beginGradient, writeGradient                       around the sums of a head
//   gradientTile, gradientOne                          sums dS over pairs; dS is that of the feature's result
//   gradientPanel  the same of all lanes, for which scorePanel stores scores as they were before
//   stateGradient                                      sums over rows
//   beginItem      sets up an item's scratch           beginTile     a tile of keys begins
//
// A scoreTile whose feature has slopeOne also stores its slopes. Tile hooks of a feature with operands are
// given the addresses of the lanes' rows; gradientTile those of the gradient, where it has an element a pair.
import { readFileSync } from "node:fs";
import { FEATURES } from "../../src/problem/features/table.ts";
import {
  abiName,
  follows,
  type GradientName,
  gradientsOf,
  type OperandName,
} from "../../src/tensor/operands.ts";
import { featureFile, kernelsKnow } from "./tables.ts";

/** A feature that kernels know. */
interface Hooks {
  readonly flag: string;
  readonly operands: readonly OperandName[];
  /** How many words of its own a lane has. */
  readonly laneWords: number;
  /** Gradients that have an element for each pair, or for some pairs together. */
  readonly pairGradients: readonly GradientName[];
  /** The name under which a hook is imported; undefined where the feature lacks it. */
  hook(name: string): string | undefined;
}

/** The file of a feature; undefined where kernels know nothing of it. */
function textOf(name: string): string | undefined {
  if (!kernelsKnow(name)) return undefined;
  return readFileSync(
    new URL(`../../asm/features/${featureFile(name)}.ts`, import.meta.url),
    "utf8",
  );
}

/** Hooks of which there may be one: what two of them would make together is not written yet. */
const ALONE = ["stateLogit", "probabilityTile"];

function readHooks(): { all: Hooks[]; imports: string[] } {
  const imports: string[] = [];
  const all = FEATURES.flatMap(({ name, operands = [] }): Hooks[] => {
    const text = textOf(name);
    if (text === undefined) return [];
    const exported = [...text.matchAll(/^export (?:function|const) (\w+)/gm)]
      .map(([, hook]) => hook!).filter((hook) => hook !== "LANE_WORDS");
    const laneWords = Number(text.match(/^export const LANE_WORDS: i32 = (\d+)/m)?.[1] ?? 0);
    const alias = (hook: string) => `${name}${abiName(hook)}`;
    const list = exported.map((hook) => `${hook} as ${alias(hook)}`).join(", ");
    imports.push(`import { ${list} } from "../features/${featureFile(name)}";`);
    const pairGradients = gradientsOf(Object.fromEntries(operands.map((operand) => [operand, 1])))
      .filter((gradient) => follows(gradient) === "scores");
    const hook = (hook: string) => exported.includes(hook) ? alias(hook) : undefined;
    return [{ flag: `Flag.${abiName(name)}`, operands, laneWords, pairGradients, hook }];
  });
  for (const name of ALONE) {
    if (all.filter(({ hook }) => hook(name)).length > 1) {
      throw new Error(`two features have a ${name}`);
    }
  }
  return { all, imports };
}

const PAIR = "batch, head, i, j";

/** Writes the calls of hooks; in all that it writes, `flags` are those of the task. */
class HookCalls {
  readonly #all: readonly Hooks[];
  /** A word a lane for each row that tile hooks are given: its operand, and the flag that it needs. */
  readonly #rows: { operand: string; flag: string }[] = [];
  /** Behind them the words of features that have their own: the first of each. */
  readonly #words = new Map<Hooks, number>();
  readonly #laneWords: number;
  /** The tile of slopes of a feature, behind which lies one of scores where it wants them. */
  readonly #slopes = new Map<Hooks, number>();
  readonly #slopeTiles: number;

  constructor(all: readonly Hooks[]) {
    this.#all = all;
    let tiles = 0;
    for (const of of this.#having("slopeOne")) {
      this.#slopes.set(of, tiles);
      tiles += of.hook("gradientPanel") ? 2 : 1;
    }
    this.#slopeTiles = tiles;
    for (const { flag, operands, pairGradients, hook } of all) {
      if (!hook("scoreTile") && !hook("hideTile")) continue;
      this.#rows.push(...operands.map((operand) => ({ operand, flag })));
      this.#rows.push(...pairGradients.map((operand) => ({ operand, flag: `${flag}Gradient` })));
    }
    let next = this.#rows.length;
    for (const of of all.filter(({ laneWords }) => laneWords > 0)) {
      this.#words.set(of, next);
      next += of.laneWords;
    }
    this.#laneWords = next;
  }

  #having(hook: string): Hooks[] {
    return this.#all.filter((one) => one.hook(hook));
  }

  /** A line for each feature that has the hook, guarded by its flag. */
  #calls(hook: string, rest: (name: string, of: Hooks) => string, suffix = ""): string {
    return this.#having(hook)
      .map((of) => `  if (flags & ${of.flag}${suffix}${rest(of.hook(hook)!, of)}`).join("\n");
  }

  #rowsAt(operand: string): string {
    const at = 32 * this.#rows.findIndex((row) => row.operand === operand);
    return `panel + (Panel.Bytes + ${at})`;
  }

  /** Arguments of a tile hook: the addresses of four rows of each operand. */
  #given(operands: readonly string[], v = " + v"): string {
    return operands.map((operand) => `, ${this.#rowsAt(operand)}${v}`).join("");
  }

  #wordsAt(of: Hooks): string {
    return `panel + (Panel.Bytes + ${32 * this.#words.get(of)!})`;
  }

  #slopeAt(of: Hooks, v = " + v"): string {
    return `slopes + ${this.#slopes.get(of)} * slopeBytes${v}`;
  }

  /** Where scores lie as they were before a feature. */
  #beforeAt(of: Hooks): string {
    return `slopes + ${this.#slopes.get(of)! + 1} * slopeBytes`;
  }

  constants(): string {
    const flags = (hook: string, suffix = "", other = hook) =>
      this.#all.filter((of) => of.hook(hook) ?? of.hook(other))
        .map(({ flag }) => flag + suffix).join(" | ") || "0";
    const list: readonly (readonly [about: string, name: string, value: string])[] = [
      [
        "Features that change the value of a score.",
        "SCORE_FLAGS",
        flags("scoreTile", "", "scorePanel"),
      ],
      ["Those of them that may mask it.", "MASKING_FLAGS", flags("HIDES")],
      [
        "Those that may bring it near the end of float32: see range.ts.",
        "BENT_FLAGS",
        flags("mostAdded"),
      ],
      ["How many tiles they leave for the way back.", "SLOPES", String(this.#slopeTiles)],
      ["Features that hide single pairs.", "HIDE_FLAGS", flags("hideTile", "", "hidePanel")],
      ["Features that are told when items and tiles begin.", "BEGIN_FLAGS", flags("beginItem")],
      ["Features of the softmax state.", "STATE_FLAGS", flags("stateLogit")],
      ["Features of weights on their way to v.", "PROBABILITY_FLAGS", flags("probabilityTile")],
      ["Sums over pairs.", "PAIR_SUM_FLAGS", flags("gradientTile", "Gradient", "gradientPanel")],
      ["Sums over rows.", "ROW_SUM_FLAGS", flags("stateGradient", "Gradient")],
      ["A panel with its words.", "PANEL_BYTES", `Panel.Bytes + ${32 * this.#laneWords}`],
    ];
    return list.map(([about, name, value]) =>
      `${about && `/** ${about} */\n`}// @ts-ignore: decorator\n@inline\n` +
      `export const ${name}: ${name.endsWith("_FLAGS") ? "i32" : "usize"} = ${value};`
    ).join("\n");
  }

  lanes(): string {
    const stores = this.#rows.map(({ operand, flag }) =>
      `  if (flags & ${flag}) store<usize>(${this.#rowsAt(operand)}, ` +
      `rowAt(task, Operand.${abiName(operand)}, batch, head, i));`
    );
    for (const of of this.#words.keys()) {
      stores.push(
        `  if (flags & ${of.flag}) ${of.hook("setLane")}(task, batch, head, i, ${
          this.#wordsAt(of)
        });`,
      );
    }
    return `/** What tile hooks read of query i, mostly where its rows lie; \`panel\`: the lane's first word. */
export function loadLane(task: usize, flags: i32, batch: i32, head: i32, i: i32, panel: usize): void {
${stores.join("\n")}
}`;
  }

  fades(): string {
    const any = this.#having("fades").map(({ flag, hook }) =>
      `(flags & ${flag}) != 0 && ${hook("fades")}()`
    );
    return `/** Whether features make many weights tiny. */
export function fades(flags: i32): bool {
  return ${any.join(" ||\n    ")};
}`;
  }

  begins(): string {
    const items = this.#calls("beginItem", (name) => `) scratch = ${name}(task, scratch);`);
    const tiles = this.#calls("beginTile", (name) => `) ${name}(batch, key, keys, keysOfRow);`);
    return `/** An item begins; \`scratch\`: where features may keep what they need. */
export function beginItem(task: usize, flags: i32, scratch: usize): void {
${items}
}

/** A tile of keys begins; \`keysOfRow\`: how many lie in eight lanes of scores. */
export function beginTile(flags: i32, batch: i32, key: i32, keys: i32, keysOfRow: i32): void {
${tiles}
}`;
  }

  /** Calls of tile hooks, four lanes at a time, and of panel hooks, in the order of features. */
  #tilesAndPanels(
    tile: (of: Hooks) => string | undefined,
    panel: (of: Hooks) => string | undefined,
  ) {
    const lines: string[] = [];
    let open = false;
    for (const of of this.#all) {
      const four = tile(of), text = four ?? panel(of);
      if (text === undefined) continue;
      const inside = four !== undefined;
      if (inside && !open) {
        lines.push("  for (let v: usize = 0; v < <usize>vectors << 4; v += 16) {");
      }
      if (!inside && open) lines.push("  }");
      open = inside;
      lines.push(`${inside ? "    " : "  "}if (flags & ${of.flag}${text}`);
    }
    return [...lines, ...open ? ["  }"] : []].join("\n");
  }

  scores(): string {
    const slopeOf = (of: Hooks, v: string) =>
      of.hook("slopeOne") ? `, slopes ? ${this.#slopeAt(of, v)} : 0` : "";
    const tiles = this.#tilesAndPanels((of) => {
      const name = of.hook("scoreTile"), rows = this.#given(of.operands);
      return name &&
        `) ${name}(task, sp + v, pitch, n, key, panel + v${rows}${slopeOf(of, " + v")});`;
    }, (of) => {
      const name = of.hook("scorePanel");
      const before = of.hook("gradientPanel") ? `, slopes ? ${this.#beforeAt(of)} : 0` : "";
      return name && `) ${name}(sp, pitch, n, key, panel, vectors${slopeOf(of, "")}${before});`;
    });
    return `/**
 * Scores S^T[n keys][4 * vectors lanes] from products, base 2. \`slopes\`: where derivatives go, a tile for each
 * feature that has one, \`slopeBytes\` apart; 0 for nowhere.
 */
export function scoreTiles(task: usize, flags: i32, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32, slopes: usize, slopeBytes: usize): void {
${tiles}
}

/** One score from its product, float64, natural units. */
export function scoreOne(task: usize, flags: i32, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
${this.#calls("scoreOne", (name) => `) s = ${name}(task, s, ${PAIR});`)}
  return s;
}`;
  }

  hides(): string {
    const tiles = this.#tilesAndPanels((of) => {
      const name = of.hook("hideTile"), rows = this.#given(of.operands);
      return name && ` && ${name}(task, sp + v, pitch, n, key, panel + v${rows})) any = true;`;
    }, (of) => {
      const name = of.hook("hidePanel");
      return name && ` && ${name}(sp, pitch, n, key, panel, vectors)) any = true;`;
    });
    const all = this.#calls("hideAll", (name, of) => {
      const rows = this.#given(of.operands, "").slice(2);
      return ` && ${name}(${rows}, lanes, key, end)) return true;`;
    });
    return `/** Masks scores of hidden pairs; returns whether there were any. */
export function hideTiles(task: usize, flags: i32, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32): bool {
  let any = false;
${tiles}
  return any;
}

/** Whether a pair is hidden. */
export function hideOne(task: usize, flags: i32, batch: i32, head: i32, i: i32, j: i32): bool {
${this.#calls("hideOne", (name) => ` && ${name}(task, ${PAIR})) return true;`)}
  return false;
}

/** Whether a feature by itself hides all keys [from, to) from query i. */
export function hideRow(task: usize, flags: i32, batch: i32, head: i32, i: i32, from: i32, to: i32): bool {
${this.#calls("hideRow", (name) => ` && ${name}(task, batch, head, i, from, to)) return true;`)}
  return false;
}

/** The most that features which may mask add to a score of query i and a key in [from, to), natural units. */
export function mostAdded(task: usize, flags: i32, batch: i32, head: i32, i: i32, from: i32, to: i32): f32 {
${this.#calls("mostAdded", (name) => `) return ${name}(task, batch, head, i, from, to);`)}
  return 0;
}

/** Whether the keys [key, end) are hidden from the first lanes of a panel; \`key\` is a multiple of 16. */
export function hideAll(flags: i32, panel: usize, lanes: i32, key: i32, end: i32): bool {
${all}
  return false;
}`;
  }

  state(): string {
    const logits = this.#calls("stateLogit", (name) => `) return ${name}(task, batch, head, i);`);
    return `/** The logit that joins the softmax state of a row, natural units; minus infinity for none. */
export function stateLogit(task: usize, flags: i32, batch: i32, head: i32, i: i32): f32 {
${logits}
  return -Infinity;
}`;
  }

  probabilities(): string {
    const tiles = this.#calls("probabilityTile", (name, of) => {
      const tile = `task, sp + v, pitch, n, key, ${this.#wordsAt(of)} + v`;
      return `) ${name}(${tile}, gradient ? gradient + v : 0, minusDelta + v);`;
    });
    const ones = this.#calls("probabilityOne", (name) => `) return ${name}(task, ${PAIR});`);
    return `/**
 * P^T[n keys][4 * vectors lanes] on its way to v; with \`gradient\`, where P dP is, also dS, which is P dP with what
 * features make of dP, less P delta; \`minusDelta\`: that of the lanes.
 */
export function probabilityTiles(task: usize, flags: i32, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, vectors: i32, gradient: usize, minusDelta: usize): void {
  for (let v: usize = 0; v < <usize>vectors << 4; v += 16) {
${tiles.replaceAll(/^/gm, "  ")}
  }
}

/** What P of one pair is multiplied with on its way to v; 0: whatever v holds does not matter. */
export function probabilityOne(task: usize, flags: i32, batch: i32, head: i32, i: i32, j: i32): f64 {
${ones}
  return 1;
}`;
  }

  /** When a feature has stored slopes. */
  #withSlope({ flag, hook }: Hooks): string {
    return `flags & ${flag}${hook("slopes") ? ` && ${hook("slopes")}()` : ""}`;
  }

  silence(): string {
    const lines = [...this.#slopes.keys()].map((of) =>
      `  if (${this.#withSlope(of)}) silenceMasked(s, ${this.#slopeAt(of, "")}, pitch, n);`
    );
    return `/** Slopes of n keys of eight lanes become 0 where S is minus infinity. */
export function silenceSlopes(flags: i32, s: usize, slopes: usize, slopeBytes: usize, pitch: usize, n: i32): void {
${lines.join("\n")}
}`;
  }

  gradientTiles(): string {
    const lines = this.#all.toReversed().flatMap((of) => {
      const { flag, pairGradients } = of, lines: string[] = [];
      const sum = of.hook("gradientTile"), panel = of.hook("gradientPanel");
      if (panel) {
        const tile = `sp, pitch, n, key, panel, ${this.#beforeAt(of)}`;
        lines.push(`  if (flags & ${flag}Gradient) ${panel}(${tile});`);
      }
      if (sum) {
        const tile = `sp + v, pitch, n, key, panel + v, m${this.#given(pairGradients)}`;
        lines.push(`    if (flags & ${flag}Gradient && m > 0) ${sum}(${tile});`);
      }
      if (of.hook("slopeOne")) {
        lines.push(
          `    if (${this.#withSlope(of)}) multiply(sp + v, ${this.#slopeAt(of)}, pitch, n);`,
        );
      }
      return lines;
    });
    const open = [
      "  for (let v: usize = 0; v < 32; v += 16) {",
      "    const m = min(4, lanes - <i32>(v >> 2));",
    ];
    const looped = lines.flatMap((line, n) => {
      const inside = line.startsWith("    "), before = n > 0 && lines[n - 1]!.startsWith("    ");
      if (inside === before) return [line];
      return inside ? [...open, line] : ["  }", line];
    });
    return `/** dS^T of a tile on its way from scores to products: sums over pairs, and slopes. The last feature first. */
export function gradientTiles(flags: i32, sp: usize, pitch: usize, n: i32, key: i32, panel: usize, lanes: i32, slopes: usize, slopeBytes: usize): void {
${looped.join("\n")}
  }
}`;
  }

  gradientOne(): string {
    // what a score was before each feature, as far as slopes need it
    const before = (n: number) => n ? `s${n}` : "s";
    const last = this.#all.findLastIndex((of) => of.hook("slopeOne"));
    const scores = this.#all.slice(0, Math.max(0, last)).map((of, n) => {
      const name = of.hook("scoreOne"), s = before(n);
      const value = name ? `flags & ${of.flag} ? ${name}(task, ${s}, ${PAIR}) : ${s}` : s;
      return `  const ${before(n + 1)} = ${value};`;
    });
    const back = this.#all.map((of, n) => {
      const { flag } = of, sum = of.hook("gradientOne"), slope = of.hook("slopeOne");
      const ds = of.hook("gradientPanel") ? `ds, ${before(n)}` : "ds";
      return [
        ...sum ? [`  if (flags & ${flag}Gradient) ${sum}(task, ${ds}, ${PAIR});`] : [],
        ...slope ? [`  if (flags & ${flag}) ds *= ${slope}(task, ${before(n)}, ${PAIR});`] : [],
      ];
    }).toReversed().flat();
    return `/** The same for one pair, whose product is s; returns dS of the product. */
export function gradientOne(task: usize, flags: i32, ds: f64, s: f64, batch: i32, head: i32, i: i32, j: i32): f64 {
${[...scores, ...back].join("\n")}
  return ds;
}`;
  }

  sums(): string {
    const calls = (hook: string, call: string) =>
      this.#calls(hook, (name) => `) ${name}(${call});`, "Gradient");
    return `/** A head of a backward item begins. */
export function beginGradients(task: usize, flags: i32, batch: i32, head: i32, split: i32): void {
${calls("beginGradient", "task, batch, head, split")}
}

/** Sums over rows: query row i with its lse and delta, which is given to one item only. */
export function stateGradients(task: usize, flags: i32, batch: i32, head: i32, i: i32, lse: f64, delta: f64): void {
${calls("stateGradient", "task, batch, head, i, lse, delta")}
}

/** A head of a backward item ends: its sums go to the place of its KV split. */
export function writeGradients(task: usize, flags: i32, batch: i32, head: i32, split: i32): void {
${calls("writeGradient", "task, batch, head, split")}
}`;
  }
}

/** The whole generated file. */
export function hooksSource(): string {
  const { all, imports } = readHooks(), calls = new HookCalls(all);
  const head = [
    "// Generated by tools/build/hooks.ts (deno task build) from the exports of asm/features/: do not edit.",
    'import { Flag, Operand } from "../tables.gen";',
    'import { Panel } from "../micro/records";',
    'import { rowAt } from "../micro/task";',
    'import { multiply, silenceMasked } from "../micro/tile";',
    ...imports,
  ];
  return [
    head.join("\n"),
    calls.constants(),
    calls.lanes(),
    calls.fades(),
    calls.begins(),
    calls.scores(),
    calls.hides(),
    calls.state(),
    calls.probabilities(),
    calls.silence(),
    calls.gradientTiles(),
    calls.gradientOne(),
    calls.sums(),
  ].join("\n\n") + "\n";
}
