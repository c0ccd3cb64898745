/** A model with its caches, ready to serve. */
import type { Engine } from "../../mod.ts";
import { Batch } from "../llama/batch.ts";
import { Caches, type CacheType } from "../llama/caches.ts";
import { Llama } from "../llama/llama.ts";
import type { Tokenizer } from "../llama/tokenizer.ts";
import type { Model } from "../llama/weights.ts";
import type { Limits } from "./completion_request.ts";
import { Service } from "./service.ts";

const PAGE_SIZE = 16;
/** Unless more pages are asked for, no text is expected to be longer. */
const USUAL_CONTEXT = 2048;

export interface ServiceOptions extends Omit<Limits, "context"> {
  name: string;
  sequences: number;
  pages: number | undefined;
  promptRows: number;
  dtype: CacheType;
}

/** A service over one paged cache for all texts. The caches are the caller's to dispose of. */
export function openService(
  engine: Engine,
  model: Model,
  tokenizer: Tokenizer,
  options: ServiceOptions,
): { service: Service; caches: Caches } {
  const { name, sequences, promptRows, dtype } = options, { context } = model.shape;
  const perText = Math.ceil(Math.min(context, USUAL_CONTEXT) / PAGE_SIZE);
  const pages = options.pages ?? sequences * perText;
  const room = { pageSize: PAGE_SIZE, pages };
  const caches = new Caches(engine, model.shape, { sequences, dtype, room });
  const llama = new Llama(model, engine);
  const batch = new Batch(llama, caches, { sequences, promptRows });
  const limits = { ...options, context: Math.min(context, pages * PAGE_SIZE) };
  const parts = { name, engine, llama, caches, batch, tokenizer, sequences, limits };
  return { service: new Service(parts), caches };
}
