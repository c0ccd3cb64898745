// The panels of the page, in their order.
import type { Panel } from "../panel.ts";
import { machine } from "./machine.ts";
import { masks } from "./masks.ts";
import { race } from "./race.ts";
import { text } from "./text.ts";
import { training } from "./training.ts";

/** All of them. What is heavy about a panel is loaded when it is used: this list is part of the first load. */
export const PANELS: readonly Panel[] = [
  machine,
  race,
  masks,
  text,
  training,
];
