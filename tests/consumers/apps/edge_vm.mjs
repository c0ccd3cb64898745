// Runs a bundle in @edge-runtime/vm: edge_vm.mjs PATH_OF_VM BUNDLE WASM. Prints what it leaves in `report`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [vm, bundle, wasm] = process.argv.slice(2);
const { EdgeVM } = createRequire(import.meta.url)(vm);
const wasmModule = new WebAssembly.Module(readFileSync(wasm));
const forbidden = {
  env: {},
  get getBuiltinModule() {
    throw new Error("A Node.js API is used (process.getBuiltinModule)");
  },
};
const edge = new EdgeVM({
  codeGeneration: { strings: false, wasm: false },
  extend: (context) => Object.assign(context, { wasmModule, process: forbidden }),
});
edge.evaluate(readFileSync(bundle, "utf8"));
console.log(JSON.stringify(await edge.context.report));
