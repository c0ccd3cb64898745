// A kernel of multiply-adds alone: what a device does of them in a second decides which calls are worth sending there.
//
//   a[c] = a[c] * x + y    for `turns` turns, 4 times a turn, 8 chains that do not wait for each other

/** Invocations of a workgroup. */
export const RATE_THREADS = 256;
/** Multiply-adds of an invocation in one turn. */
export const RATE_STEPS = 32;
const CHAINS = 8;

/** WGSL: `turns` is the first word of `input`, the chains begin with what follows it. */
export function rateShader(): string {
  const chains = Array.from({ length: CHAINS }, (_, c) => `a${c}`);
  const turn = chains.map((a) => `${a} = fma(${a}, x, y);`).join(" ");
  return `@group(0) @binding(0) var<storage, read> input: array<u32, 4>;
@group(0) @binding(1) var<storage, read_write> results: array<f32, 64>;
@compute @workgroup_size(${RATE_THREADS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = bitcast<f32>(input[1]);
  let y = bitcast<f32>(input[2]);
  let start = f32(id.x);
${chains.map((a, c) => `  var ${a} = start + ${c}.0;`).join("\n")}
  for (var turn = 0u; turn < input[0]; turn++) {
${`    ${turn}\n`.repeat(RATE_STEPS / CHAINS)}  }
  let sum = ${chains.join(" + ")};
  if (sum == y) { results[id.x % 64u] = sum; }
}
`;
}
