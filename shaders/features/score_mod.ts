// scoreMod: a function of the score that a caller wrote, and its derivative, from the same graph.
import { isConstant } from "../../src/expression/node.ts";
import type { ShaderFeature } from "./feature.ts";
import { functionHooks, ofProgram } from "./function.ts";

const name = "scoreMod";

export const scoreMod: ShaderFeature = {
  name,
  of: ofProgram((program) => {
    const { root: value, slope } = program;
    const bends = slope && !isConstant(slope, 1); // what only adds has slope 1
    const hooks = functionHooks(name, program, bends ? { value, slope } : { value });
    return {
      name,
      ...hooks,
      lowers: true,
      anyValue: true,
      score: (s, at) => `${s} = ${hooks.call("value", at, s)};`,
      ...(bends && { slope: (s, at) => hooks.call("slope", at, s) }),
    };
  }),
};
