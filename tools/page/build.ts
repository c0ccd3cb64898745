// Builds the page of examples/page as a folder of files that any host of static files can serve, and says how large it is.
//
//   deno task page:build [FOLDER]     default: page, which git ignores
import { fileURLToPath } from "node:url";
import { resolve } from "node:path";
import { buildPage } from "./bundle.ts";
import { printSizes, sizesOf } from "./sizes.ts";

const [folder = fileURLToPath(new URL("../../page/", import.meta.url)), ...more] = Deno.args;
if (more.length > 0 || folder.startsWith("-")) {
  console.error("usage: deno task page:build [FOLDER]");
  Deno.exit(2);
}
try {
  await buildPage(resolve(folder));
  printSizes(await sizesOf(folder));
  console.log(`built in ${resolve(folder)}`);
} catch (error) {
  console.error((error as Error).message);
  Deno.exit(1);
}
