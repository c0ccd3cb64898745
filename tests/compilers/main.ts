// Every kernel text that the grid needs, through both compilers of WebGPU, for software and hardware, and a few cases on a
// second driver. Each is a process of its own, because a compiler may end its process. One line for each; the last
// line is "N kernel texts compiled by Tint and by naga".
//
//   deno task test:compilers [WORD...]     only naga, tint, swiftshader or dawn
import { fileURLToPath } from "node:url";
import { variable } from "../selection.ts";
import { deno } from "../consumers/process.ts";
import type { Report } from "./compile.ts";

/** SwiftShader as Debian's Chromium brings it. */
const SWIFTSHADER = Deno.env.get("FLASHTILE_SWIFTSHADER") ??
  "/usr/lib/chromium/vk_swiftshader_icd.json";

/** Failures of one process that are shown; often many have one cause. */
const SHOWN = 20;

interface Program {
  readonly name: "naga" | "tint" | "swiftshader" | "dawn";
  readonly title: string;
  readonly seconds: number;
  readonly env?: Record<string, string>;
  /** What a report says in the line of a success. */
  readonly tell: (report: Report) => string;
}

const programs: Record<Program["name"], Program> = {
  naga: {
    name: "naga",
    title: "naga (Deno)",
    seconds: 900,
    tell: ({ texts }) => `${texts} kernel texts`,
  },
  tint: {
    name: "tint",
    title: "Tint (Dawn's null backend)",
    seconds: 600,
    tell: ({ texts, counted }) =>
      `${texts} kernel texts, workgroup memory of ${counted} within the plan's count`,
  },
  swiftshader: {
    name: "swiftshader",
    title: "SwiftShader (Deno)",
    seconds: 480,
    env: { VK_ICD_FILENAMES: SWIFTSHADER },
    tell: ({ texts }) => `${texts} cases agree with the oracle, in both passes`,
  },
  dawn: {
    name: "dawn",
    title: "a caller's device of Dawn (SwiftShader)",
    seconds: 360,
    env: { VK_ICD_FILENAMES: SWIFTSHADER },
    tell: ({ texts }) => `${texts} cases agree with the oracle, in both passes`,
  },
};

let failed = 0;

function say(result: "ok" | "FAILED" | "skipped", name: string, text: string): void {
  console.log(`${result.padEnd(8)}${name}: ${text.trim().replaceAll("\n", "\n          ")}`);
}

function fail(name: string, text: string): void {
  failed++;
  say("FAILED", name, text);
}

/** A machine without it is no mistake, unless all is required, as in CI. */
function skip(name: string, text: string): void {
  if (variable("FLASHTILE_GPU") === "required") fail(name, text);
  else say("skipped", name, text);
}

/** The failures with those that say the same, but for numbers, told once. */
function summary(failures: readonly string[]): string {
  const groups = Map.groupBy(
    failures,
    (text) => text.split("\n").slice(2).join("\n").replaceAll(/\d+/g, "#") || text,
  );
  const texts = [...groups.values()].map(([first, ...others]) =>
    others.length > 0 ? `${first}\n  and ${others.length} more of the kind` : first
  );
  const more = texts.length > SHOWN ? [`and ${texts.length - SHOWN} more kinds`] : [];
  return [`${failures.length} failures`, ...texts.slice(0, SHOWN), ...more].join("\n");
}

/** Runs a program to its end; the number of texts that passed, or undefined. */
async function run({ name, title, seconds, env, tell }: Program): Promise<number | undefined> {
  const begin = performance.now(), folder = fileURLToPath(new URL(".", import.meta.url));
  const progress = await Deno.makeTempFile({ prefix: "flashtile-compilers-" });
  try {
    const args = ["run", "--check", "-A", "--config", "deno.json", `${name}.ts`, progress];
    const { stdout } = await deno(args, { cwd: folder, env, seconds });
    const report = JSON.parse(stdout) as Report;
    if (report.absent) return void skip(title, report.absent);
    if (report.failures.length > 0) return void fail(title, summary(report.failures));
    const time = ((performance.now() - begin) / 1000).toFixed(1);
    say("ok", title, `${tell(report)} (${time} s)`);
    return report.texts;
  } catch (error) {
    const last = await Deno.readTextFile(progress);
    fail(title, `${(error as Error).message}${last && `\nat ${last}`}`);
  } finally {
    await Deno.remove(progress);
  }
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

const wanted = (name: Program["name"]) => Deno.args.length === 0 || Deno.args.includes(name);
const unknown = Deno.args.filter((word) => !(word in programs));
// a misspelt word must not look like success
if (unknown.length > 0) fail("compilers", `there is no ${unknown.join(" and no ")}`);

/** Cases on a driver that may not be here. */
async function cases(name: "swiftshader" | "dawn"): Promise<void> {
  if (!wanted(name)) return;
  if (await exists(SWIFTSHADER)) await run(programs[name]);
  else skip(programs[name].title, `there is no ${SWIFTSHADER}`);
}

const texts = (name: "tint" | "naga") => wanted(name) ? run(programs[name]) : undefined;
// naga takes as long as all others together
const [naga, tint] = await Promise.all([
  texts("naga"),
  (async () => {
    const compiled = await texts("tint");
    await cases("swiftshader");
    await cases("dawn");
    return compiled;
  })(),
]);
if (tint !== undefined && naga !== undefined) {
  const both = tint === naga ? `${tint}` : `${tint} and ${naga}`;
  console.log(`${both} kernel texts compiled by Tint and by naga`);
} else if (tint !== undefined) {
  console.log(`${tint} kernel texts compiled by Tint only`);
}
if (failed > 0) console.log(`${failed} failed`);
Deno.exit(failed > 0 ? 1 : 0);
