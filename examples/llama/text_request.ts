import type { Random } from "../byte_lm/random.ts";
import type { Sampling } from "./sampler.ts";

/** Why a text ended: a token that ends texts, as many tokens as were asked for, or its owner left. */
export type EndReason = "stop" | "length" | "cancelled";

/** A text to continue. */
export interface TextRequest {
  /** At least one token. */
  prompt: readonly number[];
  /** Tokens to write at most. */
  tokens: number;
  sampling: Sampling;
  random: Random;
  stops: ReadonlySet<number>;
  /** Called with each token, not with one that ends the text. */
  onToken(token: number): void;
  /** Called once, last. */
  onEnd(reason: EndReason | Error): void;
}
