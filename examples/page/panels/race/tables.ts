// A race in words and numbers.
import { element } from "../../parts/elements.ts";
import { table } from "../../parts/table.ts";
import { bytes, count, duration } from "../../parts/words.ts";
import type { Contender } from "./contender.ts";
import type { Point, RaceResult } from "./result.ts";

const PLACES = ["cpu", "gpu"] as const;

function pointOf(
  points: readonly Point[],
  id: Contender["id"],
  length: number,
): Point | undefined {
  return points.find((point) => point.contender === id && point.length === length);
}

/** The longest length that both have run in a place, in a sentence. */
export function summary({ points }: RaceResult): string[] {
  return PLACES.flatMap((place) => {
    const standard = points.findLast(({ contender }) => contender === `standard ${place}`);
    const flash = standard &&
      pointOf(points, `flash ${place}`, standard.length);
    const longest = points.findLast(({ contender }) => contender === `flash ${place}`);
    if (!standard || !flash) return [];
    const gain = standard.ms / flash.ms, times = Number(gain.toPrecision(2));
    const speed = gain >= 1
      ? `${times} times as fast as standard attention`
      : `at ${times} times the speed of standard attention`;
    const further = longest && longest.length > flash.length
      ? ` It went on to ${count(longest.length)} tokens with ${bytes(longest.memoryBytes)}.`
      : "";
    return [
      `On the ${place.toUpperCase()}, at ${count(flash.length)} tokens, flashtile was ${speed}, ` +
      `with ${bytes(flash.memoryBytes)} in place of ${bytes(standard.memoryBytes)}.${further}`,
    ];
  });
}

/** Who left the race where, and why. */
export function stopsList({ stops }: RaceResult): HTMLElement {
  return element(
    "ul",
    { class: "stops" },
    ...stops.map(({ name, length, kind, why }) => {
      const verb = kind === "memory" ? "does not fit" : kind === "time" ? "stops" : "failed";
      return element(
        "li",
        {},
        `${name} ${verb} at ${count(length)} tokens: ${why}.`,
      );
    }),
  );
}

/** All numbers: a row for each length, time and memory of each contender side by side. */
export function pointsTable({ points }: RaceResult): HTMLElement {
  const contenders = new Map(
    points.map(({ contender, name }) => [contender, name]),
  );
  const lengths = [...new Set(points.map(({ length }) => length))];
  const head = [...contenders.values()].flatMap((
    name,
  ) => [`${name}: time`, "memory"]);
  const rows = lengths.map((length) => [
    count(length),
    ...[...contenders.keys()].flatMap((id) => {
      const point = pointOf(points, id, length);
      return point ? [duration(point.ms), bytes(point.memoryBytes)] : ["–", "–"];
    }),
  ]);
  return table("All measurements", ["Tokens", ...head], rows);
}

/** How near all results are to the exact ones. */
export function errorSentence({ points }: RaceResult): string {
  const worst = Math.max(...points.map(({ error }) => error));
  return `Every result was checked against float64: the largest difference is ${
    worst.toExponential(0)
  } of the largest value.`;
}
