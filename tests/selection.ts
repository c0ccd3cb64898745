/**
 * Which part of the tests a run takes. `FLASHTILE_GRID` is "all", "rest" (what the core leaves out, but for what only a run
 * of all has), or missing: the core. The CPU has every feature there, each build and each number of threads once, and of sizes that many cases have those
 * that are in turn. A GPU compiles a kernel for each combination of dims, storage and features that a case has, in software
 * for a second or two each, so its core is made of few kinds of cases, which share kernels: every feature is in one of them.
 */

import { type Case, caseWork } from "./case.ts";
import { seedOf } from "./random.ts";

/** An environment variable, where it may be read. */
export function variable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/** The case asked for on the command line: it runs everywhere. */
export function onlyCase(): string | undefined {
  return variable("FLASHTILE_CASE");
}

/** "all": what only a run of all has. */
export type Part = "core" | "rest" | "all";

/** Whether this run takes a part. */
export function runTakes(part: Part): boolean {
  const asked = variable("FLASHTILE_GRID") ?? "core";
  if (!["core", "rest", "all"].includes(asked)) {
    throw new Error(`FLASHTILE_GRID is "${asked}" but must be "core", "rest" or "all"`);
  }
  return asked === "all" || asked === part || onlyCase() !== undefined;
}

/** What registers a test that is left out, visibly, where there is a reason; engines outlive the test that opens them. */
export function testUnless(
  why: string | undefined,
  name: string,
): Required<Pick<Deno.TestDefinition, "name" | "ignore" | "sanitizeOps" | "sanitizeResources">> {
  return {
    name: why === undefined ? name : `${name} (left out: ${why})`,
    ...{ ignore: why !== undefined, sanitizeOps: false, sanitizeResources: false },
  };
}

/** A test of one part, which the other leaves out. */
export function partTest(
  part: Part,
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  Deno.test({ ...testUnless(elsewhere(part), name), fn });
}

const leftOut = { core: 0, rest: 0, all: 0 };

/** Whether this run takes a case of the core, or of the rest; what it leaves out is counted and said. */
export function partTaken(part: Part): boolean {
  const taken = runTakes(part);
  if (!taken) leftOut[part]++;
  return taken;
}

/** The part of a case on each backend; where there is none, no run has it there. */
interface Parts {
  readonly wasm?: Part;
  readonly webgpu?: Part;
}

const parts = new WeakMap<Case, Parts>();

/** Says in which parts a case is, whatever its kernels are. */
export function inParts(ofCase: Parts, c: Case): Case {
  parts.set(c, ofCase);
  return c;
}

const waiting = new WeakSet<Case>();

/** A case that many others are like: the core of the grid has those whose turn it is. */
export function inTurn(own: boolean, c: Case): Case {
  if (own) return c;
  waiting.add(c);
  return inParts({ wasm: "rest", webgpu: "rest" }, c);
}

/** The same case for tests that the rest does not have. */
export function outOfTurn(c: Case): Case {
  return waiting.has(c) ? { ...c } : c;
}

/**
 * The same of a case on a backend; `resident`: on tensors there, whose lse may be large for all the host knows; `whole`:
 * this run has both parts of the cases.
 */
export function caseTaken(
  backend: "wasm" | "webgpu",
  c: Case,
  { resident = false, whole = false }: {
    readonly resident?: boolean;
    readonly whole?: boolean | undefined;
  } = {},
): boolean {
  // resident tensors add kernels of the state of rows, in which features are seen one at a time, and all together
  if (resident && backend === "webgpu" && subjectsOf(c).length > 1 && !hasAll(c)) return false;
  const ungrouped = resident && backend === "webgpu" && c.queryHeads === c.kvHeads;
  const alone = resident && hasOneSubject(c);
  if (whole) return true;
  const given = parts.get(c), part = given?.[backend];
  if (given) return part !== undefined && partTaken(part);
  if (backend === "wasm") return partTaken(isLong(c) ? "rest" : "core");
  if (!isLong(c) && sharesKernels(c) && !ungrouped && !alone) return partTaken("core");
  return partTaken(alone || !isDrawn(c) ? "all" : "rest");
}

/**
 * Whether the rest has what a GPU compiles for a case: a third of all kernels, drawn by what they depend on, so that
 * cases that share kernels go together. All 950 of them would take a quarter of an hour more on two cores.
 */
function isDrawn(c: Case): boolean {
  const { headDim, valueDim, dtype, queryHeads, kvHeads } = c;
  const kernels = [subjectsOf(c), functionsOf(c), headDim, valueDim, dtype, queryHeads === kvHeads];
  return seedOf(kernels.join()) % 3 === 1;
}

/** Longer than a few tiles: minutes of the oracle, who finds little more in them. */
export function isLong(c: Case): boolean {
  return caseWork(c) > 3e6;
}

/** Whether the CPU has a case in the core. */
export function isInCore(c: Case): boolean {
  const given = parts.get(c);
  return given ? given.wasm === "core" : !isLong(c);
}

/** Cheap: for the many ways to call that share the kernels. */
export function isSmall(c: Case): boolean {
  return caseWork(c) <= 4e5;
}

/** What was left out so far, in one line; undefined where nothing was. */
export function whatIsLeftOut(): string | undefined {
  const { core, rest, all } = leftOut;
  if (core > 0) return `left out: ${core} runs of cases that deno task test has`;
  if (rest + all > 0) return `left out: ${rest + all} runs of cases, which deno task test:all has`;
  return undefined;
}

/** Why a test of a part does not run; undefined where it does. */
export function elsewhere(part: Part): string | undefined {
  if (runTakes(part)) return undefined;
  return part === "core" ? "deno task test has it" : "deno task test:all has it";
}

/** Every option that changes the text of all kernels, in one form that many cases have. */
export const everything: Pick<
  Case,
  "softcap" | "alibiSlopes" | "bias" | "mask" | "dropout"
> = {
  softcap: 5,
  alibiSlopes: "bh",
  bias: "1hqk",
  mask: { axes: "b1qk", pattern: "random" },
  dropout: 0.25,
};

/** What is asked of rows beside out and lse, and the gradient that it brings. */
export const statistics: Pick<Case, "stats" | "dEntropy"> = { stats: true, dEntropy: true };

/** Four rows of a kv head: the decode kernel that every test of a GPU shares. */
export const fewRows = { queryHeads: 4, kvHeads: 2, lengthQ: 2, headDim: 20 } as const;

/** Functions of scores and masks whose kernels the core has: each pair of them is a text. */
const coreFunctions = ["bent", "alibi, documents"];

/** Subjects that the core has alone; those of `everything` it has together. */
const coreSubjects = ["stats", "functions"];

/**
 * The functions of a case, in one word. A block mask of a function is that function to kernels; one of lists reads them,
 * by the size of blocks.
 */
function functionsOf({ scoreMod, maskMod, blockMask }: Case): string | undefined {
  const { made, size, mask } = blockMask ?? {};
  const blocks = made === "lists" ? `lists ${size} ${mask ?? ""}` : mask;
  const names = [scoreMod, maskMod, blocks].filter((name) => name !== undefined);
  return names.length === 0 ? undefined : names.join(", ");
}

/** Whether a case has every option of `everything`. */
const hasAll = (c: Case): boolean =>
  Object.keys(everything).every((name) => c[name as keyof Case] !== undefined);

/** What a case has that changes the text of its kernels. */
function subjectsOf(c: Case): string[] {
  const subjects = Object.keys(everything).filter((name) => c[name as keyof Case] !== undefined);
  if (c.sink && !hasAll(c)) subjects.push("sink"); // beside others it changes one kernel
  if (c.stats || c.dEntropy) subjects.push("stats"); // every kernel has another text
  if (functionsOf(c)) subjects.push("functions");
  if (c.dtype !== "f32") subjects.push("16 bits");
  if (c.arrangement === "padded rows" || c.arrangement === "view") subjects.push("strides");
  if (c.rotary && (c.dtype !== "f32" || subjects.includes("strides"))) subjects.push("turned"); // q and k are f32, v is not
  if (c.headDim % 4 || c.valueDim % 4) subjects.push("odd dims");
  return subjects;
}

const hasOneSubject = (c: Case): boolean => subjectsOf(c).length === 1;

/** Whether the kernels of a case are those of many: none, few of them alone, or all of them, on a few dims. */
export function sharesKernels(c: Case): boolean {
  const { headDim, valueDim, lengthQ, queryHeads, kvHeads } = c, group = queryHeads / kvHeads;
  if (c.batch * lengthQ === 0 || (c.lengthK === 0 && !c.sink)) return true; // no kernel at all
  const rows = lengthQ * group, decode = lengthQ < 8 && rows <= 16;
  const all = hasAll(c), subjects = subjectsOf(c), plain = subjects.length === 0;
  const functions = functionsOf(c);
  if (functions && (!coreFunctions.includes(functions) || subjects.length > 1)) return false;
  const both = (headDim % 4 === 0) === (valueDim % 4 === 0);
  if (decode) {
    const known = plain || (all && !subjects.includes("stats")); // one at a time in the rest
    return known && rows === 4 && headDim === 20 && valueDim === 20;
  }
  if (headDim > 32 || valueDim > 32) return false; // several chunks of a tile
  if (plain) return true;
  if (group === 1 || !both || c.dtype === "bf16") return false;
  if (all) return c.bias === everything.bias && subjects.length === Object.keys(everything).length;
  return subjects.length === 1 && coreSubjects.includes(subjects[0]!);
}
