// `run` and `map` on files: the bits are those of the calls, files are there whole or not at all.
import assert from "node:assert/strict";
import { attention, createEngine, type HostTensor } from "../../mod.ts";
import { EXIT } from "../../src/cli/exit.ts";
import { npyParts } from "../../src/cli/files/npy.ts";
import { safetensorsParts } from "../../src/cli/files/safetensors.ts";
import { tensorAt } from "../../src/cli/files/tensor_file.ts";
import { cli, ended, inFolder, joined, spawn, tensor } from "./session.ts";

/** Both run on this, so that one GPU or one more core changes nothing. */
const ENGINE = ["--backend=wasm", "--threads=2"];

/** Runs calls on the engine that the flags above ask for. */
async function onEngine<T>(use: (engine: Awaited<ReturnType<typeof createEngine>>) => Promise<T>) {
  const engine = await createEngine({ backend: "wasm", threads: 2 });
  try {
    return await use(engine);
  } finally {
    engine.dispose();
  }
}

async function write(folder: string, tensors: Record<string, HostTensor>, kind: string) {
  if (kind === "npy") {
    for (const [name, one] of Object.entries(tensors)) {
      await Deno.writeFile(`${folder}/${name}.npy`, joined(npyParts(one)));
    }
    return ["q", "k", "v"].flatMap((name) => [`--${name}`, `${folder}/${name}.npy`])
      .concat(tensors.dOut ? ["--d-out", `${folder}/dOut.npy`] : []);
  }
  await Deno.writeFile(`${folder}/x.safetensors`, joined(safetensorsParts(tensors)));
  return ["--input", `${folder}/x.safetensors`];
}

const fileOf = (folder: string, kind: string, name: string) =>
  kind === "npy" ? `${folder}/r.${name}.npy` : `${folder}/r.safetensors:${name}`;

async function assertSame(reference: string, name: string, wanted: HostTensor) {
  const { data, shape } = await tensorAt(reference, name);
  assert.deepEqual(shape, wanted.shape);
  const bytes = (array: HostTensor["data"]) =>
    new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
  assert.deepEqual(bytes(data), bytes(wanted.data), `${name} of ${reference}`);
}

for (const kind of ["npy", "safetensors"]) {
  Deno.test(`run at 64K tokens gives the bits of attention: ${kind}`, () =>
    inFolder(async (folder) => {
      for (const dtype of ["f32", "f16", "bf16"] as const) {
        const [q, k, v] = [1, 2, 3].map((seed) => tensor([1, 65536, 1, 8], seed, dtype)) as [
          ...[HostTensor, HostTensor, HostTensor],
        ];
        const operands = await write(folder, { q, k, v }, kind);
        const output = ["--output", `${folder}/r.${kind}`, "--overwrite"];
        const flags = ["--causal=top-left", "--window=700,0", ...ENGINE];
        const { code, stderr } = await cli(["run", ...operands, ...output, ...flags]);
        assert.deepEqual([code, stderr], [EXIT.done, ""]);
        const options = { causal: "top-left", window: { left: 700, right: 0 } } as const;
        const { out, lse } = await onEngine((engine) => engine.attention(q, k, v, options));
        await assertSame(fileOf(folder, kind, "out"), "out", out);
        await assertSame(fileOf(folder, kind, "lse"), "lse", lse);
      }
    }));
}

Deno.test("run gives the gradients of attentionBackward, with tensors as options", () =>
  inFolder(async (folder) => {
    const shape = [2, 70, 4, 16], [q, k, v, dOut] = [1, 2, 3, 4].map((n) => tensor(shape, n));
    const bias = tensor([4, 70, 70], 5), sink = tensor([4], 6), alibiSlopes = tensor([4], 7);
    const given = { q: q!, k: k!, v: v!, dOut: dOut!, bias, "a.sink": sink, alibiSlopes };
    const path = `${folder}/x.safetensors`, file = ["--input", path, "--bias", path];
    await write(folder, given, "safetensors");
    const tensors = [...file, "--sink", `${path}:a.sink`, "--alibi-slopes", path];
    const options = { bias, sink, alibiSlopes, softcap: 3, stats: ["entropy"] } as const;
    const flags = ["--softcap=3", "--stats=entropy", "--backward", ...ENGINE];
    const { code, stdout, stderr } = await cli([
      ...["run", ...tensors, ...flags, "--output", `${folder}/r.safetensors`, "--json"],
    ]);
    assert.deepEqual([code, stderr], [EXIT.done, ""]);
    await onEngine(async (engine) => {
      const forward = await engine.attention(q!, k!, v!, options);
      const saved = { q: q!, k: k!, v: v!, ...forward };
      const gradients = await engine.attentionBackward(dOut!, saved, options);
      const { out, lse, stats } = forward;
      const wanted = { out, lse, entropy: stats!.entropy!, ...gradients } as unknown as Record<
        string,
        HostTensor
      >;
      const names = JSON.parse(stdout).files.map(({ name }: { name: string }) => name);
      assert.deepEqual(names, [
        ...["out", "lse", "entropy", "dq", "dk", "dv", "dBias", "dAlibiSlopes", "dSink"],
      ]);
      for (const name of names) await assertSame(`${folder}/r.safetensors`, name, wanted[name]!);
    });
  }));

Deno.test("every option of a call that has a flag does what it does in the call", () =>
  inFolder(async (folder) => {
    const [q, k, v] = [1, 2, 3].map((n) => tensor([2, 33, 2, 8], n)) as [
      HostTensor,
      HostTensor,
      HostTensor,
    ];
    const mask = {
      data: Uint8Array.from({ length: 33 * 33 }, (_, n) => n % 3 ? 1 : 0),
      shape: [33, 33],
    };
    const operands = await write(folder, { q, k, v }, "safetensors"),
      output = `${folder}/r.safetensors`;
    await Deno.writeFile(`${folder}/m.npy`, joined(npyParts({ ...mask, dtype: "bool" })));
    await Deno.writeTextFile(
      `${folder}/f.js`,
      "export const scoreMod = ({ score, key }) => score.sub(key.toFloat().mul(0.01));\n",
    );
    const { scoreMod } = await import("../../mod.ts");
    const cases: readonly (readonly [string, Parameters<typeof attention>[3]])[] = [
      ["--layout=bhsd", { layout: "bhsd" }],
      ["--causal=5", { causal: { offset: 5 } }],
      ["--softmax-scale=0.5", { softmaxScale: 0.5 }],
      ["--key-lengths=7,33", { keyLengths: [7, 33] }],
      ["--key-lengths=9", { keyLengths: 9 }],
      ["--rotary", { rotary: {} }],
      ["--rotary-base=500 --rotary-dims=4 --rotary-interleaved", {
        rotary: { base: 500, dims: 4, interleaved: true },
      }],
      ["--dropout=0.2 --dropout-seed=7", { dropout: { probability: 0.2, seed: 7 } }],
      [`--mask=${folder}/m.npy`, { mask }],
      [`--functions=${folder}/f.js`, {
        scoreMod: scoreMod(({ score, key }) => score.sub(key.toFloat().mul(0.01))),
      }],
    ];
    const plain = await onEngine((engine) => engine.attention(q, k, v));
    for (const [flags, options] of cases) {
      const args = ["run", ...operands, "--output", output, "--overwrite", ...flags.split(" ")];
      const { code, stderr } = await cli([...args, ...ENGINE]);
      assert.deepEqual([code, stderr], [EXIT.done, ""], flags);
      const { out } = await onEngine((engine) => engine.attention(q, k, v, options));
      await assertSame(output, "out", out);
      assert.notDeepEqual(out.data, plain.out.data, flags);
    }
  }));

Deno.test("packed sequences by flags", () =>
  inFolder(async (folder) => {
    const [q, k, v] = [1, 2, 3].map((n) => tensor([40, 2, 8], n)) as [
      HostTensor,
      HostTensor,
      HostTensor,
    ];
    const operands = await write(folder, { q, k, v }, "npy"), starts = [0, 13, 40];
    const packed = [`--cu-seqlens-q=${starts}`, `--cu-seqlens-k=${starts}`];
    const { code, stderr } = await cli([
      "run",
      ...operands,
      ...packed,
      "--output",
      `${folder}/r.npy`,
    ]);
    assert.deepEqual([code, stderr], [EXIT.done, ""]);
    const { out } = await attention(q, k, v, { cuSeqlensQ: starts, cuSeqlensK: starts });
    await assertSame(`${folder}/r.out.npy`, "out", out);
  }));

Deno.test("files that are not there, or are there already, are refused before any work", () =>
  inFolder(async (folder) => {
    const x = tensor([1, 3, 1, 4], 1), operands = await write(folder, { q: x, k: x, v: x }, "npy");
    const cases: readonly (readonly [readonly string[], number, string])[] = [
      [["--q", `${folder}/no.npy`, "--output", `${folder}/r.npy`], EXIT.file, "Cannot read"],
      [
        ["--input", `${folder}/no.safetensors`, "--output", `${folder}/r.npy`],
        EXIT.file,
        "Cannot read",
      ],
      [[...operands, "--output", `${folder}/no/r.npy`], EXIT.file, "Cannot write"],
      [
        [...operands, "--bias", `${folder}/x.txt`, "--output", `${folder}/r.npy`],
        EXIT.file,
        "Cannot read",
      ],
    ];
    for (const [args, code, message] of cases) {
      const ran = await cli(["run", ...args]);
      assert.deepEqual([ran.code, ran.stderr.startsWith(message)], [code, true], ran.stderr);
    }
    const output = ["--output", `${folder}/r.npy`];
    assert.equal((await cli(["run", ...operands, ...output])).code, EXIT.done);
    const again = await cli(["run", ...operands, ...output]);
    assert.equal(again.code, EXIT.usage);
    assert.match(
      again.stderr,
      /^Cannot write .*r\.out\.npy: it is there already, pass --overwrite/,
    );
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assert.deepEqual(names, ["k.npy", "q.npy", "r.lse.npy", "r.out.npy", "v.npy"]);
  }));

Deno.test("a tensor of another type or name is refused by what the file has", () =>
  inFolder(async (folder) => {
    const x = tensor([1, 3, 1, 4], 1), path = `${folder}/x.safetensors`;
    const counts = { data: new Int32Array(12), shape: [1, 3, 1, 4], dtype: "i32" } as const;
    await write(folder, { q: x, k: x, v: counts }, "safetensors");
    const ran = await cli(["run", "--input", path, "--output", `${folder}/r.npy`]);
    assert.equal(ran.code, EXIT.file);
    assert.match(ran.stderr, /: dtype of v is I32 but must be f32, f16, bf16$/m);
    const { stderr } = await cli([
      "run",
      "--input",
      path,
      "--v",
      `${path}:w`,
      "--output",
      `${folder}/r.npy`,
    ]);
    assert.match(stderr, /: it has no tensor w, only q, k, v$/m);
  }));

Deno.test("a process that is killed while it writes leaves no half file", () =>
  inFolder(async (folder) => {
    // gradients of 4 MB each, so that writing takes a while
    const x = tensor([1, 2048, 8, 64], 1), path = `${folder}/x.safetensors`;
    await write(folder, { x }, "safetensors");
    const operands = ["q", "k", "v", "d-out"].flatMap((name) => [`--${name}`, `${path}:x`]);
    const output = `${folder}/r.safetensors`, window = ["--window=16,16", "--backward"];
    let killed = 0;
    for (let attempt = 0; attempt < 4 && killed === 0; attempt++) {
      const child = spawn(["run", ...operands, ...window, "--output", output, "--overwrite"]);
      let over = false;
      const status = child.status.finally(() => over = true), left = ended(child);
      while (!over) {
        const half = [...Deno.readDirSync(folder)].find(({ name }) => name.endsWith(".tmp"));
        if (half && sizeOf(`${folder}/${half.name}`) > 0) {
          child.kill("SIGKILL");
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      if ((await status).signal === "SIGKILL") killed++;
      await left;
      // nothing, or all of it: the reader refuses a file that is short
      if (sizeOf(output) >= 0) await tensorAt(output, "dv");
    }
    assert.equal(killed, 1, "it was never caught while it wrote");
  }));

/** Bytes of a file; -1 where it is not there. */
function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch {
    return -1;
  }
}

Deno.test("a process that is interrupted ends with 130 and leaves nothing", () =>
  inFolder(async (folder) => {
    const x = tensor([1, 32768, 8, 16], 1), path = `${folder}/x.npy`;
    await Deno.writeFile(path, joined(npyParts(x)));
    const operands = ["q", "k", "v"].flatMap((name) => [`--${name}`, path]);
    const child = spawn([
      ...["run", ...operands, "--output", `${folder}/r.npy`, "--backend=wasm", "--threads=1"],
    ]);
    const left = ended(child);
    // the program listens from its first lines on; this call takes one thread 9 s at least
    await new Promise((resolve) => setTimeout(resolve, 2500));
    child.kill("SIGINT");
    const { code, stderr } = await left;
    assert.deepEqual([code, stderr.trim()], [EXIT.interrupted, "stopped by SIGINT"]);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["x.npy"]);
  }));

Deno.test("gradients need dOut", () =>
  inFolder(async (folder) => {
    const x = tensor([1, 3, 1, 4], 1), operands = await write(folder, { q: x, k: x, v: x }, "npy");
    const ran = await cli(["run", ...operands, "--backward", "--output", `${folder}/r.npy`]);
    assert.equal(ran.code, EXIT.usage);
    assert.match(ran.stderr, /^Cannot use run without --d-out FILE/);
  }));
