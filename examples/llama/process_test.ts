import assert from "node:assert/strict";
import { run, start, testProcess } from "./testing/process.ts";

const llama = (folder: string, ...args: string[]): string[] => [
  "run",
  "--no-check",
  "--no-prompt",
  `--allow-read=${folder}`,
  "examples/llama/main.ts",
  ...args,
];

testProcess("llama: text on stdout, all else on stderr", [], async (folder) => {
  const model = `${folder}/tiny.bin`, cpu = ["--backend", "wasm", "--threads", "1"];
  const one = await run(llama(folder, model, "the", "--tokens", "20", ...cpu));
  assert.equal(one.code, 0, one.stderr);
  assert.match(one.stdout, /^the[^]*\n$/);
  assert.match(one.stderr, /4 tokens read, 20 written in .* tokens\/s\n\d+ % of the time in att/);
  const options = ["--cache", "contiguous", "--sequences", "3"];
  const three = await run(llama(folder, model, "the", "--tokens", "20", ...options, ...cpu));
  const text = one.stdout.slice(0, -1);
  assert.equal(three.stdout, `${text}\n\n${text}\n\n${text}\n`);
  const long = await run(llama(folder, model, "--tokens", "999", ...cpu));
  assert.match(long.stderr, /note {4}128 tokens fill the model's context/);
  assert.match(long.stderr, /1 tokens read, 128 written/);
});

testProcess("llama: what is wrong is said in a line", [], async (folder) => {
  const model = `${folder}/tiny.bin`;
  const refused = async (message: RegExp, ...args: string[]) => {
    const { code, stdout, stderr } = await run(llama(folder, ...args));
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, message);
    assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
  };
  await refused(/^error: Cannot run without a model/);
  await refused(/^error: Cannot read .*none\.bin: there is no such file/, `${folder}/none.bin`);
  await refused(/^error: Cannot read .*tok263\.bin/, `${folder}/tok263.bin`);
  await refused(/^error: Cannot use --tokens few/, model, "--tokens", "few");
  await refused(/^error: Cannot use --dtype f64: expected f32, f16/, model, "--dtype", "f64");
  await refused(/^error: Cannot read .*tiny\.bin as a tok/, model, "--tokenizer", model);
  await refused(/^error: Cannot read a prompt of 152 tokens/, model, "x".repeat(150));
  const { code, stdout } = await run(llama(folder, "--help"));
  assert.deepEqual([code, stdout.split("\n")[0]], [
    0,
    "Continues a text with a trained model of Llama architecture.",
  ]);
});

testProcess("llama: Ctrl-C keeps what was written", [], async (folder) => {
  const args = ["--tokens", "120", "--sequences", "100", "--backend", "wasm", "--threads", "1"];
  const child = start(llama(folder, `${folder}/tiny.bin`, ...args));
  const { stdout, stderr } = child, written: Uint8Array[] = [];
  const said = new Response(stderr).text();
  let interrupted = false;
  for await (const piece of stdout) {
    written.push(piece);
    if (!interrupted) child.kill("SIGINT");
    interrupted = true;
  }
  assert.equal((await child.status).code, 0);
  assert.equal(written.at(-1)?.at(-1), 0x0a);
  const count = Number((await said).match(/(\d[\d,]*) written/)?.[1]?.replace(",", ""));
  assert.ok(count >= 1 && count < 12_000, `${count} tokens`);
});
