/**
 * The passes of asc, after -O0, for the product and for the benches. Only such as leave values in the
 * locals that V8 turns into registers: coalesce-locals and vacuum would do for speed, the others make
 * the module 10 % smaller (docs/decisions/007).
 */
export const PASSES: string = [
  ...["precompute", "optimize-instructions", "coalesce-locals", "vacuum", "reorder-locals"],
  ...["remove-unused-brs", "merge-blocks", "remove-unused-names", "remove-unused-module-elements"],
  "dce",
].join();
