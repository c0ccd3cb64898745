// Browsers without a window: where they are, and a page opened in one.
import { versionOf, within } from "../consumers/process.ts";

/** A browser that is installed. */
export interface Browser {
  readonly name: "chromium" | "firefox";
  readonly program: string;
  readonly version: string;
}

const PROGRAMS = {
  chromium: ["chromium", "/usr/bin/chromium", "chromium-browser", "google-chrome"],
  firefox: ["firefox-esr", "/usr/bin/firefox-esr", "firefox"],
};

/** Nothing from the network, and no window. */
export const CHROMIUM_FLAGS: readonly string[] = [
  "--headless=new",
  "--no-sandbox",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--no-first-run",
];

/** WebGPU without a GPU. */
export const SOFTWARE_GPU: readonly string[] = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
];

/** What a fresh profile of Firefox must not do: ask, restore, update, report. */
const FIREFOX_PREFERENCES = {
  "app.update.enabled": false,
  "browser.aboutwelcome.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.homepage_override.mstone": "ignore",
  "datareporting.policy.dataSubmissionEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "services.settings.server": "http://127.0.0.1:9/",
  "toolkit.telemetry.reportingpolicy.firstRun": false,
};

/** The browser, with its version; `given` is a path in place of those where it usually is. */
export async function findBrowser(
  name: Browser["name"],
  given?: string,
): Promise<Browser | undefined> {
  for (const program of given ? [given] : PROGRAMS[name]) {
    const version = await versionOf(program);
    if (version) return { name, program, version };
  }
  return undefined;
}

async function argumentsOf(name: Browser["name"], profile: string): Promise<string[]> {
  if (name === "chromium") return [...CHROMIUM_FLAGS, `--user-data-dir=${profile}`];
  const lines = Object.entries(FIREFOX_PREFERENCES).map(([name, value]) =>
    `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`
  );
  await Deno.mkdir(profile, { recursive: true });
  await Deno.writeTextFile(`${profile}/user.js`, lines.join(""));
  return ["--headless", "--no-remote", "--profile", profile];
}

/** How a page is opened. */
export interface Visit {
  readonly url: string;
  /** A folder for a profile of its own. */
  readonly folder: string;
  readonly flags?: readonly string[];
  /** Resolves when the page says that it is done. */
  readonly done: Promise<void>;
  readonly seconds: number;
}

/** Opens a page and waits for its end. A browser is a group of processes, and all of it is killed. */
export async function visit({ name, program }: Browser, visit: Visit): Promise<void> {
  const { url, folder, flags = [], done, seconds } = visit;
  const child = new Deno.Command(program, {
    args: [...await argumentsOf(name, `${folder}/profile-${name}`), ...flags, url],
    env: { MOZ_CRASHREPORTER_DISABLE: "1" },
    detached: true,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const killAll = () => {
    try {
      Deno.kill(-child.pid, "SIGKILL");
    } catch { // it has ended already
    }
  };
  Deno.addSignalListener("SIGINT", killAll);
  Deno.addSignalListener("SIGTERM", killAll);
  const stderr = new Response(child.stderr).text();
  const early = child.status.then(({ code }) => {
    throw new Error(`${name} ended with ${code}`);
  });
  early.catch(() => {}); // it is killed in the end
  try {
    await within(seconds, "the page", Promise.race([done, early]));
  } catch (error) {
    killAll();
    const lines = (await stderr).split("\n").slice(-8).join("\n");
    throw new Error(`${(error as Error).message}\n${lines}`);
  } finally {
    killAll();
    Deno.removeSignalListener("SIGINT", killAll);
    Deno.removeSignalListener("SIGTERM", killAll);
    await Promise.all([child.status, stderr]);
  }
}
