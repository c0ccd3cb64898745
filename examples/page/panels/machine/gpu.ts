// Whether this browser has a GPU for pages, and what to do where it has none.

/** A GPU, or why there is none and what to do about it. */
export type Gpu =
  | { readonly kind: "hardware" | "software"; readonly name: string }
  | { readonly kind: "none"; readonly why: string; readonly remedy: string };

const FLAGS =
  "Chromium on Linux offers it with --enable-unsafe-webgpu (and --enable-features=Vulkan); " +
  "chrome://gpu says what the browser thinks of the driver.";

/** Looks for an adapter, as an engine does. */
export async function findGpu(): Promise<Gpu> {
  if (!isSecureContext) {
    return {
      kind: "none",
      why: "This page came over plain http, and WebGPU needs a secure one.",
      remedy: "Serve it over https, or from localhost.",
    };
  }
  const { gpu } = navigator as { gpu?: GPU };
  if (!gpu) {
    return {
      kind: "none",
      why: "This browser has no WebGPU, or it is switched off.",
      remedy: FLAGS,
    };
  }
  const adapter = await gpu.requestAdapter({
    powerPreference: "high-performance",
  }).catch(() => null);
  if (!adapter) {
    return {
      kind: "none",
      why:
        "This browser has WebGPU and no adapter for it: there is no GPU, or its driver is blocked.",
      remedy: FLAGS,
    };
  }
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
  const name = description ||
    [vendor, architecture].filter(Boolean).join(" ") || "unnamed";
  const software = isFallbackAdapter ||
    /swiftshader|llvmpipe|basic render/i.test(name);
  return { kind: software ? "software" : "hardware", name };
}
