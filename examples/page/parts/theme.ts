// Light and dark: what the system asks for, unless the reader has chosen.

/** What can be chosen. */
export type Theme = "system" | "light" | "dark";

const KEY = "flashtile-theme";
const listeners = new Set<() => void>();
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Storage may be forbidden, as in a frame without an origin: the choice then lasts as long as the page. */
function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}

let theme = stored();

function apply(): void {
  const { dataset } = document.documentElement;
  dataset.theme = theme === "system" ? dark.matches ? "dark" : "light" : theme;
  for (const listener of listeners) listener();
}

/** The choice. */
export function chosenTheme(): Theme {
  return theme;
}

/** Chooses; it is remembered where the browser allows it. */
export function chooseTheme(chosen: Theme): void {
  theme = chosen;
  try {
    if (chosen === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
  } catch { /* it lasts as long as the page */ }
  apply();
}

/** Calls back whenever colours have changed: for what is drawn on a canvas. */
export function onTheme(listener: () => void): void {
  listeners.add(listener);
}

/** The value of a colour of style.css, for a canvas: `themeColor("--accent")`. */
export function themeColor(name: `--${string}`): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name)
    .trim();
}

/** Begins to follow the system. */
export function followTheme(): void {
  dark.addEventListener("change", apply);
  apply();
}
