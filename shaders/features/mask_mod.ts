// maskMod: a condition that a caller wrote. It is known without a look at the score, so tiles without a seen pair are
// skipped.
import type { ShaderFeature } from "./feature.ts";
import { functionHooks, ofProgram } from "./function.ts";

const name = "maskMod";

export const maskMod: ShaderFeature = {
  name,
  of: ofProgram((program) => {
    const hooks = functionHooks(name, program, { sees: program.root });
    return { name, ...hooks, sees: (at) => hooks.call("sees", at, "") };
  }),
};
