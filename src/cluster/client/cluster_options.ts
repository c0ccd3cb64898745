// Options of a client and of its calls, checked.
import type { AbortSignalLike } from "../../backend/backend.ts";
import type { Engine } from "../../engine/engine.ts";
import { checkSignal } from "../../problem/option_checks.ts";
import { refuseVerify } from "../../problem/verification.ts";
import { Complaint, show } from "../../tensor/errors.ts";
import type { Split } from "../split.ts";
import type { ConnectionSettings } from "../wire/connection.ts";
import type { WireType } from "../wire/narrow.ts";
import type { Waiting } from "./asker.ts";

/** Options of `connectCluster`. */
export interface ClusterOptions extends ConnectionSettings, Partial<Waiting> {
  /** The engine that merges results. Default: that of calls that name none. */
  readonly engine?: Engine | undefined;
  /** How float32 values travel: as they are, or rounded to `"bf16"`, half the bytes. Default `"f32"`. */
  readonly wire?: WireType | undefined;
  /** Milliseconds after which nodes forget what this client has there when it is not heard of. Default 60000. */
  readonly lease?: number | undefined;
}

/** How a call of a cluster runs. */
export interface ClusterRun {
  /** As the option of `connectCluster`, for this call. */
  readonly wire?: WireType | undefined;
  /**
   * Stops asking; the promise rejects with the signal's reason. Its method `progress`, where it has one, hears how far a call
   * over host tensors has come, as its nodes tell about ten times a second.
   */
  readonly signal?: AbortSignalLike | undefined;
}

/** How a call over host tensors is split. */
export interface ClusterSplit {
  /**
   * `"contiguous"`: each node has neighbouring keys; `"zigzag"`: two runs of keys that add up to even work where queries see
   * the keys before them; `"heads"`: kv heads in place of keys, and no merge. Default: zigzag where the call is causal.
   */
  readonly split?: Split | undefined;
}

/** Names of the options of a client beside those of its connection. */
export const CLIENT_NAMES: readonly string[] = [
  ...["engine", "wire", "lease", "deadline", "grace", "patience"],
];

const DEFAULTS: Waiting & { readonly lease: number } = {
  deadline: 30_000,
  grace: 1000,
  patience: 5000,
  lease: 60_000,
};
/** What a timer of the host can wait at most. */
const LONGEST_MS = 2 ** 31 - 1;

function checkWord(name: string, value: unknown, words: readonly string[], complaint: Complaint) {
  if (value === undefined || words.includes(value as string)) return;
  throw complaint.type(`${name} is ${show(value)} but must be ${words.map(show).join(" or ")}`);
}

const checkWire = (wire: unknown, complaint: Complaint) =>
  checkWord("wire", wire, ["f32", "bf16"], complaint);

/** How long a client waits, checked, with what was not said. */
export function waitingOf(options: ClusterOptions): Waiting & { readonly lease: number } {
  const complaint = new Complaint("connectCluster");
  checkWire(options.wire, complaint);
  const pairs = Object.entries(DEFAULTS).map(([name, usual]) => {
    const value = options[name as keyof typeof DEFAULTS] ?? usual;
    if (typeof value !== "number") {
      throw complaint.type(`${name} is ${show(value)} but must be a number of milliseconds`);
    }
    if (value > 0 && value <= LONGEST_MS) return [name, value];
    throw complaint.range(
      `${name} is ${value} but must be milliseconds above 0, at most ${LONGEST_MS}`,
    );
  });
  return Object.fromEntries(pairs);
}

/** Throws where a call has options that are another's: nodes have their engines, and what they compute is not verified. */
export function checkRun(
  action: "attention" | "attentionBackward",
  options: ClusterRun & ClusterSplit & { readonly engine?: unknown },
): void {
  const complaint = new Complaint(action);
  if (typeof options !== "object" || options === null) {
    throw complaint.type(`options is ${show(options)} but must be an object`);
  }
  const { engine, wire, split, signal } = options;
  if (engine !== undefined) {
    throw complaint.type("engine is given, but connectCluster takes the one that merges");
  }
  refuseVerify(options, `${action} over a cluster`, "verify a call of one engine");
  checkWire(wire, complaint);
  checkWord("split", split, ["contiguous", "zigzag", "heads"], complaint);
  checkSignal(signal, complaint);
}
