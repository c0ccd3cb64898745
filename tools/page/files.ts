// Answers requests with the files of a build.
import { extname } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".woff2": "font/woff2",
};

/** With these a page is cross-origin isolated: its workers may share memory. */
export const ISOLATION: Readonly<Record<string, string>> = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** The file that a request asks for, with headers of the caller's. */
export async function answer(
  folder: string,
  request: Request,
  headers: Readonly<Record<string, string>> = ISOLATION,
): Promise<Response> {
  const refused = (status: number) => new Response(null, { status, headers });
  if (request.method !== "GET" && request.method !== "HEAD") return refused(405);
  try {
    // throws where it is malformed
    const path = decodeURIComponent(new URL(request.url).pathname).replace(/\/$/, "/index.html");
    if (path.split("/").includes("..")) return refused(404);
    const body = await Deno.readFile(`${folder}${path}`);
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    const fresh = { "Content-Type": type, "Cache-Control": "no-cache" };
    return new Response(request.method === "HEAD" ? null : body, {
      headers: { ...headers, ...fresh },
    });
  } catch {
    return refused(404);
  }
}
