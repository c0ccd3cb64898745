// The shell: builds a section for each panel, the list of them, and the switch of the theme.
import { segments } from "./parts/controls.ts";
import { element, fill } from "./parts/elements.ts";
import { errorBox } from "./parts/error_box.ts";
import { chooseTheme, chosenTheme, followTheme } from "./parts/theme.ts";
import { engine, engines } from "./engines.ts";
import type { Page, Panel } from "./panel.ts";
import { PANELS } from "./panels/index.ts";

function byId(id: string): HTMLElement {
  return document.getElementById(id)!;
}

const page: Page = {
  engine,
  engines,
  announce(text) {
    byId("announcements").textContent = text;
  },
};

/** Builds a panel in its section, or says there why it could not be built. */
async function mount(panel: Panel, body: HTMLElement): Promise<void> {
  try {
    await panel.mount(body, page);
  } catch (error) {
    body.append(errorBox(error, "This panel does not work here."));
  }
}

function section(panel: Panel): HTMLElement {
  const { id, title, intro } = panel, heading = `${id}-title`;
  const body = element("div", { class: "panel-body" });
  void mount(panel, body);
  return element(
    "section",
    { class: "panel", id, "aria-labelledby": heading },
    element(
      "header",
      {},
      element("h2", { id: heading }, title),
      element("p", {}, intro),
    ),
    body,
  );
}

/** Marks the panel that is being read in the list. */
function followReading(
  sections: readonly HTMLElement[],
  links: readonly HTMLElement[],
): void {
  const visible = new Set<Element>();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.add(target);
      else visible.delete(target);
    }
    const current = sections.findIndex((section) => visible.has(section));
    links.forEach((link, n) => {
      if (n === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }, { rootMargin: "-20% 0px -50% 0px" });
  for (const section of sections) observer.observe(section);
}

followTheme();
fill(
  byId("theme"),
  segments(
    "Colours",
    [
      { value: "system", label: "System" },
      { value: "light", label: "Light" },
      { value: "dark", label: "Dark" },
    ],
    chosenTheme(),
    chooseTheme,
  ),
);
const links = PANELS.map(({ id, title }) => element("a", { href: `#${id}` }, title));
fill(byId("contents"), ...links.map((link) => element("li", {}, link)));
const sections = PANELS.map(section);
fill(byId("panels"), ...sections);
followReading(sections, links);
// Sections did not exist when the browser looked for the part of the address behind "#", and those before it grow while
// their parts load: it stays in view until the reader moves.
const target = document.getElementById(location.hash.slice(1));
if (target) {
  const moved = new AbortController();
  const growth = new ResizeObserver(() => target.scrollIntoView({ behavior: "instant" }));
  growth.observe(byId("panels"));
  for (const event of ["wheel", "pointerdown", "touchstart", "keydown"]) {
    addEventListener(event, () => moved.abort(), { passive: true, signal: moved.signal });
  }
  moved.signal.addEventListener("abort", () => growth.disconnect());
}
document.documentElement.dataset.ready = "";
