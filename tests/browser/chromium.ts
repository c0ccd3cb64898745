// The browser that tests drive: a Chromium of this machine, with its GPU in software.
import { versionOf } from "../consumers/process.ts";
import { variable } from "../selection.ts";

/** Headless, WebGPU on SwiftShader, nothing from the network. */
export const CHROMIUM_FLAGS: readonly string[] = [
  "--headless=new",
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--no-first-run",
];

/** The program, with its version; `CHROMIUM` in the environment names one. */
export async function findChromium(): Promise<{ program: string; version: string } | undefined> {
  const names = ["chromium", "/usr/bin/chromium", "chromium-browser", "google-chrome"];
  const given = variable("CHROMIUM");
  for (const program of given ? [given] : names) {
    const version = await versionOf(program);
    if (version) return { program, version };
  }
  return undefined;
}
