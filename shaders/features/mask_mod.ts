// maskMod: a condition that a caller wrote. The schedule knows of each tile whether it holds never, always or for some
// pairs: tiles are skipped, or run without it.
import { VARIES } from "../../src/expression/symbols.ts";
import type { ShaderFeature } from "./feature.ts";
import { functionHooks, ofProgram } from "./function.ts";

const name = "maskMod";

export const maskMod: ShaderFeature = {
  name,
  of: ofProgram((program) => {
    const hooks = functionHooks(name, program, { sees: program.root });
    const byHead = program.root.varies & VARIES.head;
    return {
      name,
      ...hooks,
      sees: (at) => hooks.call("sees", at, ""),
      verdicts: { at: "verdicts_at", ...(byHead && { differs: "true" }) },
    };
  }),
};
