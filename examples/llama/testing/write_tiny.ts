/** Writes the small random model and its tokenizer into a new folder, whose name it prints. */
import { llama2cFile, llama2cTokenizerFile } from "./llama2c_file.ts";
import { randomModel, TINY } from "./tiny_model.ts";

const model = randomModel(TINY, 1, false);
model.weights.classifier.fill(0, 0, 3 * TINY.dim); // marks are never the likeliest: no text ends early
const folder = await Deno.makeTempDir({ prefix: "flashtile-" });
await Deno.writeFile(`${folder}/tiny.bin`, llama2cFile(model));
await Deno.writeFile(`${folder}/tok${TINY.vocabulary}.bin`, llama2cTokenizerFile());
console.log(folder);
