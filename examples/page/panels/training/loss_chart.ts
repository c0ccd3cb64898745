// The loss while it falls.
import { type Chart, chart, COLORS, plotDefaults } from "../../parts/chart.ts";
import { digits3 } from "../../parts/words.ts";
import type { LossPoint } from "../../../byte_lm/train.ts";
import { recent, thinned } from "./losses.ts";
import type { Beginning } from "./session.ts";

/** What the chart shows. */
export interface Losses {
  readonly beginning: Beginning | undefined;
  readonly training: readonly LossPoint[];
  readonly heldOut: readonly LossPoint[];
}

/** The chart; `losses` says what it shows whenever it is drawn. */
export function lossChart(losses: () => Losses): Chart {
  return chart({
    caption: "Loss, in nats per byte",
    empty: "The loss appears here once training has begun.",
    label() {
      const { training, heldOut } = losses(), last = heldOut.at(-1);
      if (training.length === 0) return "No loss yet";
      const own = `Loss on the training text ${digits3(recent(training))} after ${
        training.at(-1)!.step
      } steps`;
      return last ? `${own}; on text that it has not seen ${digits3(last.loss)}` : own;
    },
    draw(plot, width) {
      const { beginning, training, heldOut } = losses();
      if (!beginning || training.length === 0) return undefined;
      // in the margin, where they cover nothing: the legend has their words
      const rules = [
        { loss: beginning.unigram, label: "alone" },
        { loss: beginning.bigram, label: "pairs" },
      ];
      const line = thinned(training), last = training.at(-1)!.step;
      return plot.plot({
        ...plotDefaults(width),
        ...{ height: 300, marginRight: 44 },
        x: {
          label: "step",
          domain: [training[0]!.step, Math.max(last, training[0]!.step + 20)],
          ticks: 6,
        },
        y: { label: null, zero: true, grid: true, nice: true },
        marks: [
          plot.ruleY(rules, { y: "loss", stroke: COLORS.soft, strokeDasharray: "3 3" }),
          plot.lineY(line, { x: "step", y: "loss", stroke: COLORS.series[0], strokeWidth: 1.5 }),
          plot.dot(heldOut, {
            ...{ x: "step", y: "loss", r: 4 },
            fill: COLORS.series[1],
            stroke: COLORS.paper,
          }),
          plot.text(rules, {
            ...{ y: "loss", text: "label", frameAnchor: "right", textAnchor: "start", dx: 6 },
            fill: COLORS.soft,
          }),
        ],
      });
    },
  });
}
