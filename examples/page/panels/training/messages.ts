/** What the panel and its worker say to each other. */
import type { LossPoint } from "../../../byte_lm/train.ts";
import type { ModelShape } from "../../../byte_lm/parameters.ts";
import type { Beginning, NamedText } from "./session.ts";

/** To the worker. Answers come in the order of the requests; `stop` is heard between two steps. */
export type Request =
  /** Stops, then makes a model, or reads one from `file`; what was there before is gone, unless this fails. */
  | {
    readonly kind: "begin";
    readonly text: NamedText;
    readonly shape: ModelShape;
    readonly file?: NamedText;
  }
  | { readonly kind: "run" }
  | { readonly kind: "stop" }
  | { readonly kind: "sample"; readonly prompt: string; readonly count: number }
  | { readonly kind: "save" };

/** From the worker. */
export type Answer =
  | {
    readonly kind: "begun";
    readonly beginning: Beginning;
    readonly engine: string;
  }
  /** All steps since the last message of this kind. */
  | {
    readonly kind: "progress";
    readonly training: readonly LossPoint[];
    readonly heldOut: readonly LossPoint[];
    readonly tokensPerSecond: number;
  }
  | { readonly kind: "stopped"; readonly step: number }
  | {
    readonly kind: "sample";
    readonly prompt: string;
    readonly text: string;
    readonly step: number;
  }
  | {
    readonly kind: "saved";
    readonly file: Uint8Array<ArrayBuffer>;
    readonly step: number;
  }
  /** The request that could not be done, and why, in words. */
  | {
    readonly kind: "failed";
    readonly request: Request["kind"];
    readonly message: string;
  };
