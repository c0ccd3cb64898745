/** Causal attention and its gradients at a long length, split over four nodes, beside one engine. */

import { createEngine, type HostTensor } from "@flashtile/attention";
import { startCluster } from "../../tests/cluster/processes.ts";
import { normalNumbers } from "../../tests/random.ts";

function difference(a: HostTensor, b: HostTensor): string {
  let most = 0, size = 0;
  for (let i = 0; i < b.data.length; i++) {
    most = Math.max(most, Math.abs(a.data[i]! - b.data[i]!));
    size = Math.max(size, Math.abs(b.data[i]!));
  }
  return `${most.toExponential(1)} of ${size.toPrecision(2)}`;
}

const balance = (parts: readonly number[]) =>
  Math.max(...parts) / (parts.reduce((a, b) => a + b, 0) / parts.length);

/** Both passes. */
export async function passes(length: number, heads: number, nodes: number): Promise<void> {
  await using started = await startCluster(nodes, { deadline: 600_000, patience: 300_000 });
  const { cluster } = started, shape = [1, length, heads, 64];
  const normal = (seed: number): HostTensor => ({
    data: Float32Array.from(normalNumbers(seed, length * heads * 64)),
    shape,
  });
  const [q, k, v, dOut] = [normal(1), normal(2), normal(3), normal(4)];
  using engine = await createEngine({ backend: "wasm", threads: 1 });
  const timed = async <T>(run: () => Promise<T>): Promise<[T, number]> => {
    const begin = performance.now();
    return [await run(), performance.now() - begin];
  };
  const options = { causal: true };
  const [want, one] = await timed(() => engine.attention(q, k, v, options));
  const saved = { q, k, v, ...want };
  const [grads, oneBack] = await timed(() => engine.attentionBackward(dOut, saved, options));
  for (const split of ["contiguous", "zigzag"] as const) {
    const got = await cluster.attention(q, k, v, { ...options, split });
    const back = await cluster.attentionBackward(dOut, saved, { ...options, split });
    console.log(
      `${length} tokens, ${heads} heads, ${nodes} nodes, ${split}: forward ` +
        `${got.timing.total.toFixed(0)} ms (one engine ${one.toFixed(0)}), out ${
          difference(got.out, want.out)
        }, lse ${difference(got.lse, want.lse)}, slowest part over mean ${
          balance(got.timing.parts).toFixed(2)
        }; backward ${back.timing.total.toFixed(0)} ms (one engine ${oneBack.toFixed(0)}), ` +
        (["dq", "dk", "dv"] as const).map((n) => `${n} ${difference(back[n], grads[n])}`).join(
          ", ",
        ) +
        `, slowest part over mean ${balance(back.timing.parts).toFixed(2)}`,
    );
  }
}
