// The online softmax of a tile, whose state lies with the threads of its rows.
import type { Geometry } from "../abi.ts";
import { LEAST, moveStatistics } from "./statistics.ts";
import { each, LOG2E } from "./text.ts";

/** The sums of statistics of the pairs (row i, column vector n), whose S - m is in `x<n>`. */
function addStatistics(i: number, n: number): string {
  const p = `s${i}_${n}`;
  return `
    ps${i} += dot(${p}, max(x${n}, vec4<f32>(${LEAST}))); pj${i} += dot(${p}, vec4<f32>(key_${n})); pairs${i} += (${p}.x + ${p}.y) + (${p}.z + ${p}.w);
    top${i} = max(max(top${i}, max(${p}.x, ${p}.y)), max(${p}.z, ${p}.w));`;
}

/**
 * One tile of the online softmax: S becomes P; the state (m, l) of each row and its `columns` columns of O are brought
 * up to date, and with `statistics` their sums.
 */
export function softmaxOfTile(g: Geometry, columns: number, statistics = false): string {
  const largest = (i: number) =>
    Array.from(
      { length: g.jv },
      (_, n) => `max(max(s${i}_${n}.x, s${i}_${n}.y), max(s${i}_${n}.z, s${i}_${n}.w))`,
    )
      .reduce((all, next) => `max(${all}, ${next})`, `m${i}`);
  return `  // m' = max(m, rowmax S)
${each(g.tm, (i) => `  rm[ty][${i}][tx] = ${largest(i)};`)}
  workgroupBarrier(); // the chunks of Q and K are free as well
${each(g.tm, (i) => `  var n${i} = m${i};`)}
${each(g.nx, (x) => each(g.tm, (i) => `  n${i} = max(n${i}, rm[ty][${i}][${x}]);`))}
  // P = exp(S - m'), l = l exp(m - m') + rowsum P, O = O exp(m - m')
${
    each(g.tm, (i) =>
      `  { let a = exp2((m${i} - n${i}) * ${LOG2E});${
        statistics ? ` ${moveStatistics(i, `m${i}`, `n${i}`)}` : ""
      } m${i} = n${i}; l${i} *= a;
${
        each(g.jv, (n) =>
          `${
            statistics ? `    let x${n} = s${i}_${n} - vec4<f32>(n${i});\n` : ""
          }    s${i}_${n} = exp2((s${i}_${n} - vec4<f32>(n${i})) * ${LOG2E}); l${i} += (s${i}_${n}.x + s${i}_${n}.y) + (s${i}_${n}.z + s${i}_${n}.w);${
            statistics ? addStatistics(i, n) : ""
          }`)
      }
${
        each(columns, (c) => `    o${i}_${c} *= a;`)
      }
  }`)
  }`;
}
