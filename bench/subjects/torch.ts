/**
 * PyTorch on the same card, where it is installed: scaled_dot_product_attention in f32 without TF32,
 * and in bf16 by its flash kernel on the matrix units, for information.
 * @module
 */

import type { Case } from "../cases.ts";
import { reasonOf } from "../measure/statistics.ts";

export interface Torch {
  readonly version: string;
  /** bf16Ms is null where the flash kernel does not run. */
  readonly times: readonly {
    name: string;
    causal: boolean;
    f32Ms: number;
    bf16Ms: number | null;
  }[];
}

const LIMIT_MS = 180_000;

/** Medians by CUDA events, of launches that last five milliseconds together. */
const SCRIPT = `
import json, statistics, sys
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention as attend
assert torch.cuda.is_available(), "torch has no CUDA device"
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.set_float32_matmul_precision("highest")

def once(run, calls):
    a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    a.record()
    for _ in range(calls): run()
    b.record()
    torch.cuda.synchronize()
    return a.elapsed_time(b) / calls

def median(run):
    for _ in range(5): run()
    calls = max(1, min(500, int(5 / once(run, 3)) + 1))
    for _ in range(3): once(run, calls)
    return statistics.median(once(run, calls) for _ in range(11))

times = []
for c in json.loads(sys.argv[1]):
    shape = (c["batch"], c["queryHeads"], c["lengthQ"], c["headDim"])
    for causal in (False, True):
        q, k, v = (torch.randn(shape, device="cuda") for _ in range(3))
        f32 = median(lambda: attend(q, k, v, is_causal=causal))
        q, k, v = (x.bfloat16() for x in (q, k, v))
        try:
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                bf16 = median(lambda: attend(q, k, v, is_causal=causal))
        except RuntimeError:
            bf16 = None
        times.append({"name": c["name"], "causal": causal, "f32Ms": f32, "bf16Ms": bf16})
print("@torch", json.dumps({"version": torch.__version__, "times": times}))
`;

/** The times, or why there are none. */
export async function measureTorch(cases: readonly Case[]): Promise<Torch | { missing: string }> {
  try {
    const command = new Deno.Command("python3", {
      args: ["-c", SCRIPT, JSON.stringify(cases)],
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    const { stdout, stderr } = await command.output();
    const found = /^@torch (.*)$/m.exec(new TextDecoder().decode(stdout));
    if (found) return JSON.parse(found[1]!) as Torch;
    const last = new TextDecoder().decode(stderr).trim().split("\n").pop();
    return { missing: `no torch with CUDA (${last})` };
  } catch (error) {
    return { missing: `no python3 (${reasonOf(error)})` };
  }
}
