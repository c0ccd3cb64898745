// The build step of a host that forbids compiling at run time, where the file of the package does not do: writes
// the kernels as .wasm files.
import { kernelBytes } from "@flashtile/attention/kernels";

for (const level of ["relaxed", "plain"] as const) {
  Deno.writeFileSync(new URL(`./kernel_${level}.wasm`, import.meta.url), kernelBytes(level));
}
