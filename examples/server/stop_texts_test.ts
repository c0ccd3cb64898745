import assert from "node:assert/strict";
import { StopTexts } from "./stop_texts.ts";

Deno.test("server: a stop text is found however the text is cut into pieces", () => {
  const stops = ["END", "\n\n", "ENDE", "DD"];
  for (const text of ["abc", "abENDc", "a\nb\n\nc", "EEND", "aDEN", "EN", "ENxDD", "\n"]) {
    const at = Math.min(...stops.map((stop) => (text.indexOf(stop) + 1) || Infinity)) - 1;
    for (let cuts = 0; cuts < 2 ** (text.length - 1); cuts++) {
      const pieces = [...text].reduce<string[]>((all, character, i) => {
        if (i > 0 && (cuts >> (i - 1)) & 1) return [...all.slice(0, -1), all.at(-1)! + character];
        return [...all, character];
      }, []);
      const cutter = new StopTexts(stops);
      let got = "", stopped = false;
      for (const piece of pieces) {
        const pushed = cutter.push(piece);
        got += pushed.text;
        if ((stopped = pushed.stopped)) break;
      }
      if (!stopped) got += cutter.end();
      assert.equal(stopped, at < Infinity);
      assert.equal(got, text.slice(0, at));
    }
  }
});

Deno.test("server: only what may begin a stop text is held back", () => {
  const cutter = new StopTexts(["END"]);
  assert.deepEqual(cutter.push("abE"), { text: "ab", stopped: false });
  assert.deepEqual(cutter.push("Nx"), { text: "ENx", stopped: false });
  assert.deepEqual(cutter.push("yE"), { text: "y", stopped: false });
  assert.equal(cutter.end(), "E");
});
