import assert from "node:assert/strict";
import { MOST_SECONDS, positive, whole } from "./flags.ts";

Deno.test("flags: numbers that a timer or a list cannot take are refused", () => {
  assert.equal(positive("seconds", `${MOST_SECONDS}`, 1, MOST_SECONDS), MOST_SECONDS);
  assert.ok(1000 * MOST_SECONDS < 2 ** 31, "a timer waits so long");
  assert.throws(() => positive("seconds", "1e10", 1, MOST_SECONDS), {
    message: "Cannot use --seconds 1e10: expected a number above 0, at most 2000000",
  });
  assert.throws(() => whole("sequences", "65537", 1, 1, 65536), {
    message: "Cannot use --sequences 65537: expected a whole number, at least 1, at most 65536",
  });
  assert.throws(() => whole("seed", "1.5", 1, 0), {
    message: "Cannot use --seed 1.5: expected a whole number, at least 0",
  });
});
