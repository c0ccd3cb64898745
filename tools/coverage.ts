// Line coverage of src/, after `deno test --coverage=cov`: prints the files below 90 % and the whole, and fails below 90 %.
const WANTED = 90;
const folder = Deno.args[0] ?? "cov";
const root = new URL("..", import.meta.url).pathname;

// under npx the name on the PATH is not the path of the executable
const deno = [Deno.execPath(), "deno"]
  .find((command) => Deno.permissions.querySync({ name: "run", command }).state === "granted");

const { success, stdout, stderr } = await new Deno.Command(deno ?? "deno", {
  args: ["coverage", "--lcov", folder],
  stderr: "piped",
}).output();
if (!success) {
  console.error(new TextDecoder().decode(stderr));
  Deno.exit(2);
}

const files: { name: string; lines: number; hit: number }[] = [];
for (const record of new TextDecoder().decode(stdout).split("end_of_record")) {
  const field = (name: string) => record.match(new RegExp(`^${name}:(.*)$`, "m"))?.[1];
  const path = field("SF") ?? "";
  const name = path.startsWith(root) ? path.slice(root.length) : "";
  if (!name.startsWith("src/") || name === "src/wasm/module/kernels.gen.ts") continue;
  files.push({ name, lines: Number(field("LF")), hit: Number(field("LH")) });
}
if (files.length === 0) {
  console.error(`No coverage of src/ in ${folder}: run \`deno test --coverage=${folder}\` first`);
  Deno.exit(2);
}

const percent = (hit: number, lines: number) => (lines === 0 ? 100 : 100 * hit / lines).toFixed(1);
files.sort((a, b) => a.hit / a.lines - b.hit / b.lines);
for (const { name, lines, hit } of files) {
  if (100 * hit >= WANTED * lines) continue;
  console.log(`${percent(hit, lines).padStart(6)} %  ${`${hit}/${lines}`.padStart(9)}  ${name}`);
}
const lines = files.reduce((sum, file) => sum + file.lines, 0);
const hit = files.reduce((sum, file) => sum + file.hit, 0);
console.log(`${percent(hit, lines).padStart(6)} %  ${`${hit}/${lines}`.padStart(9)}  all of src/`);
if (100 * hit < WANTED * lines) {
  console.error(`Line coverage of src/ is below ${WANTED} %`);
  Deno.exit(1);
}
