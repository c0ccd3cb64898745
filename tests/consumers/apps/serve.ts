// For `deno serve` with no permissions: every request computes forward and backward.
import { forwardBackward } from "./job.ts";

export default {
  async fetch(): Promise<Response> {
    return Response.json(await forwardBackward());
  },
};
