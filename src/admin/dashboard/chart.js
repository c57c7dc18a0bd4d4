/** Draws how numbers went over the last minutes: an area for the first, a line for each. */

import { el, put, svg } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 600;
const HEIGHT = 120;
/** The time that a chart shows, however little of it is known. */
const SPAN_MS = 300_000;

/**
 * @typedef {{ name: string, of: (point: any) => number | null }} Line
 * @typedef {{ title: string, lines: Line[], format: (value: number | null) => string, least?: number }} Options `least` is the smallest top
 */

/**
 * @param {Options} options
 * @returns {{ element: HTMLElement, draw: (points: { at: number }[]) => void }}
 */
export function chart({ title, lines, format, least = 1 }) {
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "plot" });
  const values = lines.map(() => el("b"));
  const when = el("span", { class: "when" });
  const legend = el("p", { class: "legend" }, lines.map((line, i) => el("span", { class: `key line-${i}` }, `${line.name} `, values[i])), when);
  const top = el("span", { class: "top" });
  const middle = el("span", { class: "middle" });
  const area = el("div", { class: "plot-area" }, plot, top, middle);
  const element = el("figure", { class: "chart card" }, el("figcaption", {}, el("h2", {}, title), legend), area,
    el("p", { class: "axis", "aria-hidden": true }, el("span", {}, "5 min ago"), el("span", {}, "now")));
  let shown = [];
  let picked = -1;

  /** Writes the values of the picked point, or of the last. */
  function tell() {
    const point = shown[picked] ?? shown.at(-1);
    lines.forEach((line, i) => put(values[i], format(point ? line.of(point) : null)));
    put(when, shown[picked] ? `at ${clock(shown[picked].at)}` : "");
    plot.querySelector(".cursor")?.remove();
    if (shown[picked]) {
      const x = place(shown[picked].at, shown.at(-1).at);
      plot.append(svg("path", { class: "cursor", d: `M${x} 0V${HEIGHT}` }));
    }
  }

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const end = shown.at(-1)?.at ?? 0;
    const distance = (i) => Math.abs(place(shown[i].at, end) - x);
    picked = shown.reduce((best, _, i) => (best < 0 || distance(i) < distance(best) ? i : best), -1);
    tell();
  });
  plot.addEventListener("pointerleave", () => {
    picked = -1;
    tell();
  });

  return {
    element,
    draw(points) {
      const end = points.at(-1)?.at ?? 0;
      shown = points.filter((point) => point.at > end - SPAN_MS);
      const highest = round(Math.max(least, ...shown.flatMap((point) => lines.map((line) => line.of(point) ?? 0))));
      const drawn = lines.flatMap((line, i) => {
        const runs = runsOf(shown, line, end, highest);
        const paths = runs.map((run) => svg("path", { class: `stroke line-${i}`, d: through(run) }));
        const fills = i === 0 ? runs.map((run) => svg("path", { class: "fill line-0", d: `${through(run)}L${run.at(-1)[0]} ${HEIGHT}L${run[0][0]} ${HEIGHT}Z` })) : [];
        return [...fills, ...paths];
      });
      put(plot, svg("path", { class: "grid", d: `M0 ${HEIGHT / 2}H${WIDTH}M0 0.5H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}` }), ...drawn);
      put(top, format(highest));
      put(middle, format(highest / 2));
      const last = shown.at(-1);
      plot.setAttribute("aria-label", `${title} over the last minutes; now ${lines.map((line) => `${line.name} ${format(last ? line.of(last) : null)}`).join(", ")}`);
      tell();
    },
  };
}

const place = (at, end) => Math.round((1 - (end - at) / SPAN_MS) * WIDTH * 10) / 10;

/** The stretches of a line over which its value is known. */
function runsOf(points, line, end, highest) {
  const runs = [[]];
  for (const point of points) {
    const value = line.of(point);
    if (value === null) runs.push([]);
    else runs.at(-1).push([place(point.at, end), Math.round((1 - value / highest) * (HEIGHT - 2) * 10) / 10 + 1]);
  }
  return runs.filter((run) => run.length > 0);
}

const through = (run) => `M${run.map(([x, y]) => `${x} ${y}`).join("L")}`;

/** The next number above that is pleasant to read. */
function round(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * size).find((step) => step >= value * 1.001) ?? value;
}
