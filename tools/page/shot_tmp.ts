import { chromium } from "playwright-core";
import { answer, ISOLATION } from "/work/wt/page/tools/page/files.ts";
const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (r) => answer("/tmp/pg", r, ISOLATION));
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--disable-dev-shm-usage"] });
for (const [name, width, scheme] of [["l", 1120, "light"], ["d", 360, "dark"]] as const) {
const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: scheme });
const page = await context.newPage();
page.on("console", (m) => console.log(m.type(), m.text()));
page.on("pageerror", (e) => console.log("PAGEERROR", e));
await page.goto(`http://127.0.0.1:${server.addr.port}/`);
await page.locator("#machine .facts dt").first().waitFor();
await page.waitForTimeout(200);
await page.screenshot({ path: `/tmp/shot-${name}.png`, fullPage: true });
}
await browser.close(); await server.shutdown();
