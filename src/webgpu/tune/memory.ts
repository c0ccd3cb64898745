// What tuning found, kept from one run of a program to the next: by device, driver as far as hosts tell it, and the text of
// the kernels. What is read back is not trusted: only a tile that would be tried anyway is taken.
import type { TileShape } from "../../../shaders/abi.ts";
import type { WebGpuTarget } from "../../plan/target.ts";
import { SHADERS } from "./shaders.gen.ts";

/** Where an engine keeps what it found: `localStorage`, or anything with these methods. */
export interface TuneStore {
  /** What was kept under a key; null where there is nothing. */
  getItem(key: string): string | null;
  /** Keeps a text under a key. */
  setItem(key: string, value: string): void;
}

/** What is known of a class of calls. */
export type Found =
  /** Nothing. */
  | undefined
  /** Its tile; undefined: the usual one. */
  | { readonly tile: TileShape | undefined };

/** What is kept of a class, as far as it is what was written. */
interface Kept {
  readonly tile?: unknown;
  readonly done?: unknown;
  readonly begun?: unknown;
}

/** Times that trying may begin and not end. */
const MOST_BEGUN = 2;

/** What is known while the program runs, where nothing else keeps it. */
const inProcess = new Map<string, string>();
const processStore: TuneStore = {
  getItem: (key) => inProcess.get(key) ?? null,
  setItem: (key, value) => void inProcess.set(key, value),
};

/** The store of this host: not every host has one, and some throw when it is asked for. */
function hostStore(): TuneStore {
  try {
    const { localStorage } = globalThis as { localStorage?: TuneStore };
    return localStorage ?? processStore;
  } catch {
    return processStore;
  }
}

/** The tiles that were found on a device. */
export class TuneMemory {
  readonly #store: TuneStore;
  readonly #device: string;

  constructor({ adapter, dialect }: WebGpuTarget, store: TuneStore = hostStore()) {
    this.#store = store;
    const { navigator } = globalThis as { navigator?: { userAgent?: string } };
    this.#device = ["flashtile", SHADERS, adapter, dialect, navigator?.userAgent ?? ""].join("/");
  }

  #key(name: string): string {
    return `${this.#device}/${name}`;
  }

  #read(name: string): Kept {
    try {
      const kept: unknown = JSON.parse(this.#store.getItem(this.#key(name)) ?? "{}");
      return typeof kept === "object" && kept !== null ? kept : {};
    } catch {
      return {};
    }
  }

  #write(name: string, kept: Kept): void {
    try {
      this.#store.setItem(this.#key(name), JSON.stringify(kept));
    } catch { /* a store that is full or forbidden: tuned again next time */ }
  }

  /** What is known of a class; `tiles`: those that may be. */
  find(name: string, tiles: readonly TileShape[]): Found {
    const { tile, done, begun } = this.#read(name);
    if (done !== true && !(Number(begun) >= MOST_BEGUN)) return undefined;
    const same = JSON.stringify(tile);
    return { tile: tiles.find((tile) => JSON.stringify(tile) === same) };
  }

  /** Notes that tiles are about to be tried: a kernel that takes the device or the page with it is not tried for ever. */
  begin(name: string): void {
    this.#write(name, { begun: (Number(this.#read(name).begun) || 0) + 1 });
  }

  /** Keeps a tile; undefined: the usual one. */
  keep(name: string, tile: TileShape | undefined): void {
    this.#write(name, { done: true, ...tile && { tile } });
  }
}
