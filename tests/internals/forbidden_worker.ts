// A host that forbids compiling at run time, as edge functions do: says how many bytes ./kernels gives there, for a test
// in build_test.ts. A worker, since bytes that were made once are kept.
WebAssembly.Module = function () {
  throw new WebAssembly.CompileError("forbidden here");
} as unknown as typeof WebAssembly.Module;
const { kernelBytes } = await import("../../src/kernels.ts");
const scope = self as unknown as { postMessage(bytes: Uint8Array): void };
scope.postMessage(kernelBytes("plain"));
