// scoreMod: a function of the score that a caller wrote, and its derivative, from the same graph.
import { isConstant } from "../../src/expression/node.ts";
import type { PairAt, ShaderFeature } from "./feature.ts";
import { functionHooks, ofProgram } from "./function.ts";

const name = "scoreMod";

export const scoreMod: ShaderFeature = {
  name,
  of: ofProgram((program) => {
    const { root: value, slope, learned } = program;
    const bends = slope && !isConstant(slope, 1); // what only adds has slope 1
    const terms = learned?.flatMap(({ share, place }, n) => [
      [`share${n}`, share] as const,
      [`place${n}`, place] as const,
    ]);
    const hooks = functionHooks(name, program, {
      value,
      ...(bends && { slope }),
      ...Object.fromEntries(terms ?? []),
    });
    return {
      name,
      ...hooks,
      lowers: true,
      anyValue: true,
      score: (s, at) => `${s} = ${hooks.call("value", at, s)};`,
      ...(learned && {
        learned: learned.map((_, n) => ({
          share: (s: string, at: PairAt) => hooks.call(`share${n}`, at, s),
          place: (at: PairAt) => hooks.call(`place${n}`, at, ""),
        })),
      }),
      ...(bends && { slope: (s, at) => hooks.call("slope", at, s) }),
    };
  }),
};
