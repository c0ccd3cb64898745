// The commands, in the order in which help lists them.
import type { Command } from "./command.ts";
import { bench } from "./commands/bench.ts";
import { check } from "./commands/check.ts";
import { explain } from "./commands/explain.ts";
import { info } from "./commands/info.ts";
import { map } from "./commands/map.ts";
import { run } from "./commands/run.ts";

/** All of them. */
export const COMMANDS: readonly Command[] = [info, check, bench, explain, run, map];
