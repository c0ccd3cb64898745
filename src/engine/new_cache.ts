// Making KV caches: memory of the backend, and what a cache asks of its engine.
import { checkCacheOptions, type KvCacheOptions } from "../cache/cache_options.ts";
import { KvCache } from "../cache/kv_cache.ts";
import { own } from "./ownership.ts";
import type { Router } from "./router.ts";

/** A cache in the memory of the backend where new tensors are put. */
export function newCache(options: KvCacheOptions, router: Router, engine: object): KvCache {
  router.alive("kvCache");
  const shape = checkCacheOptions(options);
  const [keys, values] = router.pools("kvCache", [shape.keys, shape.values]);
  const cache = new KvCache(shape, { keys: keys!, values: values! }, {
    alive: (action) => router.alive(action),
    checkOwner: (views, action) => router.checkBeside(keys!.tensor, views, action),
  });
  own(cache.keys, engine);
  own(cache.values, engine);
  return cache;
}
