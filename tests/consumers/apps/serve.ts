// For `deno serve` with no permissions: every request takes the tour, on one engine for all.
import { createEngine } from "@flashtile/attention";
import { tour } from "./tour.ts";

const engine = await createEngine();

export default {
  async fetch(): Promise<Response> {
    return Response.json(await tour(engine));
  },
};
