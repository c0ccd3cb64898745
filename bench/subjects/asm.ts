/**
 * The kernels of bench/asm, compiled when a bench starts: a compiled one in the repository could go
 * stale without anybody noticing.
 * @module
 */

import { compileAsm } from "../../tools/build/compile.ts";

const PAGE = 65536;
/** From here on memory is the caller's; below lie the constants of the kernels. */
export const OPERANDS: number = PAGE;

/** A module of bench/asm with the flags of the product. */
export async function asmModule(name: string): Promise<WebAssembly.Module> {
  const flags = ["--enable", "simd,relaxed-simd,bulk-memory"];
  return await WebAssembly.compile((await compileAsm(`bench/asm/${name}`, flags)).binary);
}

/** An instance with so many bytes for operands. */
export function instantiate<Kernel>(
  module: WebAssembly.Module,
  bytes: number,
): { readonly kernel: Kernel; readonly memory: WebAssembly.Memory } {
  const memory = new WebAssembly.Memory({ initial: Math.ceil((OPERANDS + bytes) / PAGE) });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return { kernel: exports as Kernel, memory };
}
