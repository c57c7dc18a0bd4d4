/** Draws how numbers went over the last minutes: an area for the first, a line for each. */

import { el, put, svg } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 600;
const HEIGHT = 120;
/** The times that a chart may show: the first that holds all that is known. */
const SPANS_MIN = [1, 2, 5];

/**
 * @typedef {{ name: string, of: (point: any) => number | null }} Line
 * @typedef {{ title: string, lines: Line[], format: (value: number | null) => string, least?: number, base?: number }} Options
 * `least` is the smallest top; `base` is 1024 where numbers are sizes.
 */

/**
 * @param {Options} options
 * @returns {{ element: HTMLElement, draw: (points: { at: number }[]) => void }}
 */
export function chart({ title, lines, format, least = 1, base = 10 }) {
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "plot" });
  const values = lines.map(() => el("b"));
  const when = el("span", { class: "when" });
  const legend = el(
    "p",
    { class: "legend" },
    lines.map((line, i) => el("span", { class: `key line-${i}` }, `${line.name} `, values[i])),
    when,
  );
  const top = el("span", { class: "top" });
  const middle = el("span", { class: "middle" });
  const area = el("div", { class: "plot-area" }, plot, top, middle);
  const from = el("span");
  const element = el(
    "figure",
    { class: "chart card" },
    el("figcaption", {}, el("h2", {}, title), legend),
    area,
    el("p", { class: "axis", "aria-hidden": true }, from, el("span", {}, "now")),
  );
  let shown = [];
  let picked = -1;
  let span = 1;

  /** Where a moment is drawn. */
  const place = (at, end) => Math.round((1 - (end - at) / span) * WIDTH * 10) / 10;

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
      const minutes = SPANS_MIN.find((minutes) => end - (points[0]?.at ?? end) <= minutes * 60_000) ?? SPANS_MIN.at(-1);
      span = minutes * 60_000;
      put(from, `${minutes} min ago`);
      shown = points.filter((point) => point.at >= end - span);
      const highest = round(Math.max(least, ...shown.flatMap((point) => lines.map((line) => line.of(point) ?? 0))), base);
      const drawn = lines.flatMap((line, i) => {
        const runs = runsOf(shown, line, (point) => place(point.at, end), highest);
        const paths = runs.map((run) => svg("path", { class: `stroke line-${i}`, d: through(run) }));
        const fills =
          i === 0
            ? runs.map((run) =>
                svg("path", { class: "fill line-0", d: `${through(run)}L${run.at(-1)[0]} ${HEIGHT}L${run[0][0]} ${HEIGHT}Z` }),
              )
            : [];
        return [...fills, ...paths];
      });
      put(plot, svg("path", { class: "grid", d: `M0 ${HEIGHT / 2}H${WIDTH}M0 0.5H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}` }), ...drawn);
      put(top, format(highest));
      put(middle, format(highest / 2));
      const last = shown.at(-1);
      plot.setAttribute(
        "aria-label",
        `${title} over the last minutes; now ${lines.map((line) => `${line.name} ${format(last ? line.of(last) : null)}`).join(", ")}`,
      );
      tell();
    },
  };
}

/** The stretches of a line over which its value is known. */
function runsOf(points, line, x, highest) {
  const runs = [[]];
  for (const point of points) {
    const value = line.of(point);
    if (value === null) runs.push([]);
    else runs.at(-1).push([x(point), Math.round((1 - value / highest) * (HEIGHT - 2) * 10) / 10 + 1]);
  }
  return runs.filter((run) => run.length > 0);
}

const through = (run) => `M${run.map(([x, y]) => `${x} ${y}`).join("L")}`;

/** The next number above that is pleasant to read, and its half too. */
function round(value, base) {
  const unit = base ** Math.floor(Math.log(value) / Math.log(base) + 1e-9);
  const size = unit * 10 ** Math.floor(Math.log10(value / unit) + 1e-9);
  return [1, 2, 4, 6, 8, 10].map((step) => step * size).find((step) => step >= value * 1.001) ?? value;
}
