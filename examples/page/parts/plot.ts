// What the page takes from Observable Plot; a chunk of its own, loaded with the first chart. Named one by one, so that the
// rest of Plot stays out of the bundle.
export {
  areaY,
  axisX,
  axisY,
  barX,
  barY,
  cell,
  dot,
  gridX,
  gridY,
  lineY,
  plot,
  rect,
  ruleX,
  ruleY,
  text,
  tip,
} from "@observablehq/plot";
