// bundle_webpack.mjs PATH_OF_WEBPACK ENTRY FOLDER: webpack as it is without a config, as a module for a page.
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [path, entry, folder] = process.argv.slice(2);
const webpack = createRequire(import.meta.url)(path);
const options = {
  mode: "production",
  entry: resolve(entry),
  output: { path: resolve(folder), filename: "page.js" },
};
webpack(options, (error, stats) => {
  if (error ?? stats.hasErrors()) {
    console.error(error ?? stats.toString());
    process.exit(1);
  }
});
