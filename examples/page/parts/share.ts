// A result as JSON, copied or downloaded.
import { button } from "./controls.ts";
import { element } from "./elements.ts";

/** Buttons that copy and download what `result` returns when they are pressed. */
export function shareButtons(
  fileName: string,
  result: () => unknown,
  announce: (text: string) => void,
): HTMLElement {
  const text = () => `${JSON.stringify(result(), null, 2)}\n`;
  const said = element("span", { class: "status" });
  const say = (words: string) => {
    said.textContent = words;
    announce(words);
  };
  const copy = button("Copy as JSON", () => {
    // missing where the page is not served securely
    const { clipboard } = navigator as { clipboard?: Clipboard };
    const copied = clipboard
      ? clipboard.writeText(text())
      : Promise.reject(new Error("no clipboard"));
    copied.then(
      () => say("Copied."),
      () => say("The browser does not let this page copy: download it instead."),
    );
  });
  const download = button("Download JSON", () => {
    const url = URL.createObjectURL(
      new Blob([text()], { type: "application/json" }),
    );
    element("a", { href: url, download: fileName }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    say(`${fileName} is saved.`);
  });
  return element("div", { class: "controls" }, copy, download, said);
}
