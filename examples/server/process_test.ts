import assert from "node:assert/strict";
import { start, testProcess } from "../llama/testing/process.ts";
import { waitFor } from "./testing/lines.ts";

testProcess("server: deno serve with no permission but to read the model; Ctrl-C lets texts end", [
  { name: "net", host: "127.0.0.1" },
], async (folder) => {
  const child = start([
    ...["serve", "--no-check", "--no-prompt", "--host", "127.0.0.1", "--port", "0"],
    ...[`--allow-read=${folder}`, "examples/server/main.ts", `${folder}/tiny.bin`],
    ...["--backend", "wasm", "--threads", "1", "--max-tokens", "120"],
  ]);
  try {
    void child.stdout.cancel();
    const [url] = await waitFor(child.stderr, /http:\/\/127\.0\.0\.1:\d+/);
    const models = await (await fetch(`${url}/v1/models`)).json();
    assert.equal(models.data[0].id, "tiny");
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({ prompt: "a", max_tokens: 120, temperature: 0, stream: true }),
    });
    let text = "", interrupted = false;
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      text += piece;
      if (!interrupted) child.kill("SIGINT");
      interrupted = true;
    }
    assert.match(text.slice(-300), /"finish_reason":"length"[^]*data: \[DONE\]\n\n$/);
    assert.equal((await child.status).code, 0);
  } finally {
    await child.status.catch(() => {});
  }
});
