// Start and stop of something that takes a while.
import { button } from "./controls.ts";
import { element, fill } from "./elements.ts";
import { errorBox } from "./error_box.ts";

/** What a run is given. */
export interface Run {
  /** Aborted by the stop button: every wait of the run should end with it. */
  readonly signal: AbortSignal;
  /** Shows what is going on, in a few words. */
  readonly say: (text: string) => void;
}

/** Buttons with their status line. */
export interface RunControls {
  readonly element: HTMLElement;
  /** Whether something runs. */
  readonly running: () => boolean;
  /** As if the start button were pressed; resolves when the run has ended. */
  readonly start: () => Promise<void>;
  /** As if the stop button were pressed. */
  readonly stop: () => void;
}

/**
 * A start button, a stop button and a status line. While `run` is under way only the stop button can be pressed; what it
 * throws is shown under the buttons, unless it was stopped.
 */
export function runControls(
  label: string,
  run: (run: Run) => Promise<void>,
): RunControls {
  let controller: AbortController | undefined;
  const status = element("p", { class: "status", role: "status" });
  const errors = element("div");
  const say = (text: string) => {
    status.textContent = text;
  };
  const start = async () => {
    if (controller) return;
    controller = new AbortController();
    const { signal } = controller;
    fill(errors);
    const pressed = document.activeElement === startButton;
    show();
    if (pressed) stopButton.focus(); // the focus would be lost with the button that is hidden
    try {
      await run({ signal, say });
    } catch (error) {
      if (signal.aborted) say("Stopped.");
      else {
        say("");
        fill(errors, errorBox(error, "This did not work."));
      }
    }
    const focused = document.activeElement === stopButton;
    controller = undefined;
    show();
    if (focused) startButton.focus();
  };
  const stop = () => {
    controller?.abort();
  };
  const startButton = button(label, () => void start(), "primary");
  const stopButton = button("Stop", stop);
  const show = () => {
    // readers of screens hear how it ended, not every step
    status.setAttribute("aria-busy", `${controller !== undefined}`);
    startButton.hidden = controller !== undefined;
    stopButton.hidden = controller === undefined;
  };
  show();
  const buttons = element(
    "div",
    { class: "controls" },
    startButton,
    stopButton,
    status,
  );
  return {
    element: element("div", { class: "run" }, buttons, errors),
    running: () => controller !== undefined,
    start,
    stop,
  };
}
