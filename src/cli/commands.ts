// The commands, in the order in which help lists them.
import type { Command } from "./command.ts";
import { bench } from "./commands/bench.ts";
import { check } from "./commands/check.ts";
import { clusterNode } from "./commands/cluster_node.ts";
import { clusterStatus } from "./commands/cluster_status.ts";
import { explain } from "./commands/explain.ts";
import { info } from "./commands/info.ts";
import { map } from "./commands/map.ts";
import { run } from "./commands/run.ts";

/** All of them. */
export const COMMANDS: readonly Command[] = [
  ...[info, check, bench, explain, run, map],
  ...[clusterNode, clusterStatus],
];

/** What groups of commands are for, by their first word. */
export const GROUPS: Readonly<Record<string, string>> = {
  cluster: "Attention beyond this machine: a node of a cluster, and who is there.",
};
