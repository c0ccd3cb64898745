// How far the parts of a call have come, as their nodes tell; for signals that hear it (AbortSignalLike).
import type { AbortSignalLike } from "../../backend/backend.ts";
import type { TellHead } from "../wire/requests.ts";
import type { ClusterHome } from "./home.ts";

/** What is told of the parts of a call. */
export interface PartProgress {
  /** How the node of a part is told whom to tell. */
  of(part: number): TellHead;
  /** A part has come back. Throws what the signal threw when it was told something before. */
  done(part: number): void;
  /** Hears no more. */
  stop(): void;
}

/** Listens for the nodes of a call of so many parts; undefined where the signal does not want to hear. */
export function partProgress(
  home: ClusterHome,
  signal: AbortSignalLike | undefined,
  parts: number,
): PartProgress | undefined {
  if (!signal?.progress) return undefined;
  const shares = new Array<number>(parts).fill(0);
  let failed: { readonly error: unknown } | undefined;
  const tell = (part: number, share: number) => {
    // a part that another node begins again has not gone back, and what makes no sense is no share
    if (failed || !(share > shares[part]!)) return;
    shares[part] = Math.min(1, share);
    try {
      signal.progress!(shares.reduce((sum, one) => sum + one, 0) / parts);
    } catch (error) {
      failed = { error };
    }
  };
  const { subject, stop } = home.hear((text) => {
    const [part = NaN, share = NaN] = text.split(" ").map(Number);
    tell(part, share);
  });
  return {
    of: (part) => ({ subject, part }),
    done: (part) => {
      tell(part, 1);
      if (failed) throw failed.error;
    },
    stop,
  };
}
