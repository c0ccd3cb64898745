// Which problems are asked: sizes that cover what is wanted, each option alone, then several at once.
import type { Complaint } from "../tensor/errors.ts";
import { FLOAT64, forwardOf } from "./formula.ts";
import { formulaOf } from "./inputs.ts";
import {
  CHECKED_OPTIONS,
  type CheckedOption,
  type CheckedProblem,
  type ProblemSizes,
} from "./problem.ts";
import { integer, type Random, randomNumbers, seedOf } from "../tensor/random.ts";
import type { Settings } from "./settings.ts";

/** How many problems are tried for one without empty rows. */
const TRIES = 200;

/** The values of an axis in an order of chance, again and again: all come up soon. */
function* shuffled(values: readonly number[], random: Random): Generator<number, never> {
  while (true) {
    const left = [...values];
    while (left.length > 0) yield left.splice(integer(random, 0, left.length - 1), 1)[0]!;
  }
}

/** Draws sizes. */
function* sizesOf({ sizes, seed }: Settings): Generator<ProblemSizes, never> {
  const axis = (name: string, values: readonly number[]) => {
    const drawn = shuffled(values, randomNumbers(seedOf(seed, name)));
    return () => drawn.next().value;
  };
  const own = (name: "lengthK" | "valueDim") => {
    const values = sizes[name];
    return typeof values === "string" ? undefined : axis(name, values);
  };
  const batch = axis("batch", sizes.batch), kvHeads = axis("kvHeads", sizes.kvHeads);
  const groups = axis("groups", sizes.groups), headDim = axis("headDim", sizes.headDim);
  const lengthQ = axis("lengthQ", sizes.lengthQ);
  const lengthK = own("lengthK"), valueDim = own("valueDim");
  while (true) {
    const heads = kvHeads(), queries = lengthQ(), dim = headDim();
    yield {
      ...{ batch: batch(), queryHeads: heads * groups(), kvHeads: heads, lengthQ: queries },
      ...{ lengthK: lengthK ? lengthK() : queries, headDim: dim },
      valueDim: valueDim ? valueDim() : dim,
    };
  }
}

/** The options of each problem: none, one, the next, ..., several. */
function optionsOf({ options, always, problems, seed }: Settings): CheckedOption[][] {
  const random = randomNumbers(seedOf(seed, "which options")), all: CheckedOption[][] = [];
  const plain = 4, alone = plain + 2 * options.length;
  const together = options.filter((name) => name !== "largeScores");
  for (let n = 0; n < problems; n++) {
    if (n < plain) all.push([]);
    else if (n < alone) all.push([options[(n - plain) % options.length]!]);
    else {
      const chosen = together.filter(() => random() < 0.5);
      // two forms of one option
      const both = chosen.includes("causal") && chosen.includes("causalTopLeft");
      const dropped = random() < 0.5 ? "causal" : "causalTopLeft";
      all.push(both ? chosen.filter((name) => name !== dropped) : chosen);
    }
  }
  const isCausal = (name: CheckedOption) => name === "causal" || name === "causalTopLeft";
  return all.map((chosen) => {
    const own = chosen.filter((name) => !(isCausal(name) && always.some(isCausal)));
    return CHECKED_OPTIONS.filter((name) => always.includes(name) || own.includes(name));
  });
}

/** Whether every query sees a key. */
function hasEmptyRows(problem: CheckedProblem, settings: Settings): boolean {
  // what chance decides is in the mask and the lengths alone
  const formula = formulaOf(problem, settings.storage);
  return forwardOf({ ...formula, headDim: 0 }, FLOAT64).seen.includes(0);
}

/** The problems that are asked, in their order. */
export function sampleProblems(settings: Settings, complaint: Complaint): CheckedProblem[] {
  if (settings.problem) return [settings.problem];
  const sizes = sizesOf(settings), random = randomNumbers(seedOf(settings.seed, "seeds"));
  return optionsOf(settings).map((options) => {
    for (let n = 0; n < TRIES; n++) {
      const problem = { ...sizes.next().value, options, seed: Math.floor(random() * 2 ** 32) };
      if (settings.emptyRows || !hasEmptyRows(problem, settings)) return problem;
    }
    throw complaint.range(
      `emptyRows is false but every query must see a key with ${
        options.join(", ") || "no options"
      }: none of ${TRIES} problems of these sizes is like that`,
    );
  });
}
