// The build step of a host that forbids compiling at run time: writes the kernel as a .wasm file.
import { kernelBytes } from "@flashtile/attention/kernels";

Deno.writeFileSync(new URL("./kernel.wasm", import.meta.url), kernelBytes("relaxed"));
