import assert from "node:assert/strict";
import { tinyTokenizer } from "../llama/testing/tiny_model.ts";
import { events, readStream, serverTest } from "./testing/server.ts";

const SYSTEM = "You are a tiny model and say what you think of: ";

serverTest("clients come and go, some in mid-stream", {}, async ({ post, service, url }) => {
  const ask = (client: number) => ({
    prompt: `${client % 3 === 0 ? SYSTEM : ""}client ${client % 7}`,
    max_tokens: 5 + client % 23,
    temperature: 0,
  });
  const alone = await Promise.all(Array.from({ length: 21 }, async (_, client) => {
    const response = await post(ask(client));
    return (await response.json()).choices[0].text;
  }));
  const clients = Array.from({ length: 96 }, async (_, client): Promise<"whole" | "left"> => {
    await new Promise((resolve) => setTimeout(resolve, client * 7 % 120));
    const which = client % 21, body = ask(which);
    if (client % 4 === 1) { // leaves: before any answer, or after a few events
      const leave = new AbortController();
      const response = post({ ...body, max_tokens: 70, stream: client % 8 === 1 }, {
        signal: leave.signal,
      });
      if (client % 8 === 1) {
        let seen = 0;
        for await (const _ of events(await response)) if (++seen === 3) break;
      } else {
        setTimeout(() => leave.abort(), 20);
        await assert.rejects(response, { name: "AbortError" });
      }
      return "left";
    }
    const response = await post({ ...body, stream: client % 2 === 0 });
    assert.equal(response.status, 200);
    const text = client % 2 === 0
      ? (await readStream(response)).texts[0]
      : (await response.json()).choices[0].text;
    assert.equal(text, alone[which]);
    return "whole";
  });
  const results = await Promise.all(clients);
  assert.equal(results.filter((result) => result === "whole").length, 72);
  await service.drain();
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const value = (name: string) =>
    Number(metrics.match(new RegExp(`^flashtile_${name} (.*)$`, "m"))?.[1]);
  const gone = value("clients_gone_total");
  assert.ok(gone >= 12 && gone <= 24, `${gone} clients left`); // some before they were heard
  assert.ok(value("shared_tokens_total") > 40 * 10, "prompts that begin alike are shared");
  assert.equal(value("texts_running"), 0);
  assert.equal(value("cache_rows_reserved"), 0);
  assert.doesNotMatch(metrics, /code="5\d\d"/);
});

serverTest("several prompts and choices, streamed and not", {}, async ({ post }) => {
  const body = { prompt: ["one", [1, 5, 9]], n: 2, max_tokens: 6, seed: 7, temperature: 1.5 };
  const { choices, usage } = await (await post(body)).json();
  assert.deepEqual(choices.map(({ index }: { index: number }) => index), [0, 1, 2, 3]);
  assert.deepEqual(choices.map((c: { finish_reason: string }) => c.finish_reason), [
    ...["length", "length", "length", "length"],
  ]);
  assert.equal(usage.prompt_tokens, tinyTokenizer().encode("one").length + 3);
  assert.equal(usage.completion_tokens, 24);
  const texts = choices.map(({ text }: { text: string }) => text);
  assert.notEqual(texts[0], texts[1]);
  const streamed = await readStream(await post({ ...body, stream: true }));
  assert.deepEqual(streamed.texts, texts);
  assert.deepEqual(streamed.ends, ["length", "length", "length", "length"]);
});

serverTest("stop texts end a text before them", {}, async ({ post }) => {
  const body = { prompt: "stop", max_tokens: 60, temperature: 0 };
  const whole: string = (await (await post(body)).json()).choices[0].text;
  const stop = whole.slice(20, 22), cut = whole.slice(0, whole.indexOf(stop));
  const [choice] = (await (await post({ ...body, stop: ["never there", stop] })).json()).choices;
  assert.deepEqual([choice.text, choice.finish_reason], [cut, "stop"]);
  const streamed = await readStream(await post({ ...body, stop, stream: true }));
  assert.deepEqual(streamed, { texts: [cut], ends: ["stop"] });
});

serverTest("what is wrong with a request is said", {}, async ({ post, url }) => {
  const refused = async (
    response: Response | Promise<Response>,
    status: number,
    message: RegExp,
    param: string | null = null,
  ) => {
    const { status: got, ...rest } = await response, body = await (await response).json();
    assert.deepEqual([got, body.error.code, body.error.param], [status, status, param]);
    assert.match(body.error.message, message);
    assert.ok(rest);
  };
  await refused(post("{"), 400, /The body is not JSON/);
  await refused(
    post(new Uint8Array([0x22, 0xff]) as unknown as string, {
      body: new Uint8Array([0x22, 0xff]),
    }),
    400,
    /The body is not JSON/,
  );
  await refused(post("[]"), 400, /must be a JSON object/);
  await refused(post({}), 400, /prompt: it is missing/, "prompt");
  await refused(post({ prompt: 7 }), 400, /expected a text, texts, or arrays/, "prompt");
  await refused(post({ prompt: [] }), 400, /expected a text/, "prompt");
  await refused(post({ prompt: [1, 1000] }), 400, /1000 is not a token from 0 to 262/, "prompt");
  await refused(post({ prompt: [1, 0.5] }), 400, /0\.5 is not a token/, "prompt");
  await refused(post({ prompt: "a".repeat(126) }), 400, /128 tokens and max_tokens/, "prompt");
  await refused(post({ prompt: "a".repeat(3000) }), 400, /3000 characters are more/, "prompt");
  await refused(post({ prompt: "a".repeat(5000) }), 413, /longer than 4096 bytes/);
  await refused(post({ prompt: "a", max_tokens: 101 }), 400, /from 1 to 100/, "max_tokens");
  await refused(post({ prompt: "a", max_tokens: 1.5 }), 400, /whole/, "max_tokens");
  await refused(post({ prompt: "a", temperature: -1 }), 400, /from 0 to 2/, "temperature");
  await refused(post({ prompt: "a", top_p: 0 }), 400, /top_p/, "top_p");
  await refused(post({ prompt: "a", n: 5 }), 400, /from 1 to 4/, "n");
  await refused(post({ prompt: ["a", "b"], n: 3 }), 400, /more than 4 texts/, "prompt");
  await refused(post({ prompt: "a", stop: [""] }), 400, /stop/, "stop");
  await refused(post({ prompt: "a", stream: "yes" }), 400, /true or false/, "stream");
  await refused(post({ prompt: "a", echo: true }), 400, /does not have it/, "echo");
  await refused(post({ prompt: "a", logprobs: 0 }), 400, /does not have it/, "logprobs");
  await refused(post({ prompt: "a", n: 2, best_of: 3 }), 400, /does not have it/, "best_of");
  await refused(post({ prompt: "a", top_k: 1 }), 400, /top_k: this server does not/, "top_k");
  await refused(post('{"prompt": "a", "__proto__": 1}'), 400, /does not have it/, "__proto__");
  for (const options of ["include_usage", ["include_usage"], { include_usages: true }, 7]) {
    const request = post({ prompt: "a", stream: true, stream_options: options });
    await refused(request, 400, /an object with no more than/, "stream_options");
  }
  await refused(post({ prompt: "a", model: "large" }), 404, /no model "large"/, "model");
  await refused(post({ prompt: "a", model: "x".repeat(999) }), 404, /"x{80}" here/, "model");
  await refused(post({ prompt: "a", model: ["tiny"] }), 400, /expected a name/, "model");
  const packed = post({ prompt: "a" }, { headers: { "content-encoding": "gzip" } });
  await refused(packed, 415, /Content-Encoding is gzip/);
  await refused(fetch(`${url}/v1/chat`), 404, /nothing at \/v1\/chat/);
  const wrongMethod = await fetch(`${url}/v1/completions`);
  assert.equal(wrongMethod.headers.get("allow"), "POST");
  await refused(wrongMethod, 405, /takes POST/);
  for (const method of ["constructor", "toString", "hasOwnProperty"]) { // of every object
    await refused(fetch(`${url}/health`, { method }), 405, /takes GET, HEAD/);
  }
});

serverTest("fields that ask for nothing change nothing", {}, async ({ post }) => {
  const body = { prompt: "a", max_tokens: 4, temperature: 0 };
  const plain = await (await post(body)).json();
  const idle = {
    ...{ model: "tiny", user: "me", best_of: 1, echo: false, suffix: "", logit_bias: {} },
    ...{ frequency_penalty: 0, presence_penalty: 0, logprobs: null, top_k: null, stop: [] },
    ...{ stream: false, stream_options: null, n: null },
  };
  const { choices } = await (await post({ ...body, ...idle })).json();
  assert.deepEqual(choices, plain.choices);
  const pair = await (await post({ ...body, n: 2, best_of: 2 })).json();
  assert.equal(pair.choices.length, 2);
});

serverTest("a client that has gone before its text begins", {}, async ({ service, url }) => {
  const left = new AbortController();
  const body = JSON.stringify({ prompt: "a", max_tokens: 90 });
  const signal = left.signal, init = { method: "POST", body, signal };
  const request = new Request(`${url}/v1/completions`, init);
  left.abort();
  assert.equal((await service.fetch(request)).status, 499);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.match(metrics, /^flashtile_clients_gone_total 1$/m);
  assert.match(metrics, /^flashtile_first_token_seconds_count 0$/m);
});

serverTest("a queue that is full, and one that is too slow", {
  sequences: 1,
  queue: 1,
  seconds: 0.15,
}, async ({ post }) => {
  const body = { prompt: "a", max_tokens: 100, temperature: 0 };
  const answers = await Promise.all([1, 2, 3, 4].map(() => post(body)));
  const statuses = answers.map(({ status }) => status);
  assert.equal(statuses.filter((status) => status === 429).length, 2);
  const full = answers.find(({ status }) => status === 429)!;
  assert.equal(full.headers.get("retry-after"), "1");
  for (const answer of answers) await answer.body?.cancel();
});

serverTest("a text that takes too long is ended", { seconds: 0.005 }, async ({ post }) => {
  const body = { prompt: ["a", "b", "c", "d"], max_tokens: 100, temperature: 0 };
  const late = await post(body);
  assert.equal(late.status, 503);
  assert.match((await late.json()).error.message, /not done after 0\.005 s/);
  let last = "";
  for await (last of events(await post({ ...body, stream: true })));
  assert.equal(JSON.parse(last).error.code, 503);
});

serverTest("a body that does not come", { seconds: 0.05 }, async ({ post }) => {
  const pipe = new TransformStream<Uint8Array>(), writer = pipe.writable.getWriter();
  writer.write(new TextEncoder().encode('{"prompt": ')).catch(() => {});
  const response = await post("", { body: pipe.readable });
  assert.equal(response.status, 408);
  assert.match((await response.json()).error.message, /did not come within 0\.05 s/);
  await writer.abort().catch(() => {});
});

serverTest("draining lets what runs end and refuses the rest", {}, async (server) => {
  const { post, service, url } = server;
  const running = await post({ prompt: "a", max_tokens: 80, temperature: 0, stream: true });
  const drained = service.drain();
  assert.equal((await fetch(`${url}/health`)).status, 503);
  const refused = await post({ prompt: "a" });
  assert.equal(refused.status, 503);
  assert.match((await refused.json()).error.message, /about to stop/);
  assert.deepEqual((await readStream(running)).ends, ["length"]);
  await drained;
});

serverTest("health, models, metrics", {}, async ({ url }) => {
  const health = await fetch(`${url}/health`);
  assert.deepEqual([health.status, await health.json()], [200, { status: "ok" }]);
  const models = await (await fetch(`${url}/v1/models`)).json();
  assert.equal(models.data[0].id, "tiny");
  assert.deepEqual(await (await fetch(`${url}/v1/models/tiny`)).json(), models.data[0]);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  for (const line of metrics.trimEnd().split("\n")) {
    assert.match(
      line,
      /^(# (HELP|TYPE) flashtile_\w+ .+|flashtile_\w+(\{\w+="[^"]*"\})? [\d.e+-]+)$/,
    );
  }
  assert.match(metrics, /^flashtile_responses_total\{code="200"\} 3$/m);
});
