/** How numbers, times and sizes are written, the same everywhere. What is not known is a dash. */

const NOTHING = "–";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const tiny = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

const isKnown = (value) => typeof value === "number" && Number.isFinite(value);

/** @param {number} [value] */
export function count(value) {
  return isKnown(value) ? whole.format(value) : NOTHING;
}

/** How often in a second. @param {number | null} [value] */
export function rate(value) {
  if (!isKnown(value)) return NOTHING;
  return `${value >= 100 ? whole.format(value) : value >= 1 || value === 0 ? short.format(value) : tiny.format(value)}/s`;
}

/** A part of one. @param {number | null} [value] */
export function percent(value) {
  if (!isKnown(value)) return NOTHING;
  const percent = value * 100;
  return `${percent === 0 || percent >= 1 ? short.format(percent) : tiny.format(percent)} %`;
}

/** @param {number | null} [value] */
export function bytes(value) {
  if (!isKnown(value)) return NOTHING;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? whole.format(value) : short.format(value)} ${UNITS[unit]}`;
}

/** A latency. @param {number | null} [seconds] */
export function latency(seconds) {
  if (!isKnown(seconds)) return NOTHING;
  if (seconds >= 1) return `${short.format(seconds)} s`;
  const ms = seconds * 1000;
  return ms >= 10 ? `${whole.format(ms)} ms` : ms >= 1 ? `${short.format(ms)} ms` : `${whole.format(ms * 1000)} µs`;
}

/** How long something lasts, in its two largest units. @param {number | null} [seconds] */
export function duration(seconds) {
  if (!isKnown(seconds)) return NOTHING;
  /** @type {[number, string][]} */
  const parts = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return `${whole.format(seconds * 1000)} ms`;
  let left = seconds;
  const said = [];
  for (const [size, unit] of parts.slice(first, first + 2)) {
    const many = Math.floor(left / size);
    left -= many * size;
    if (many > 0) said.push(`${many} ${unit}`);
  }
  return said.join(" ");
}

/** A moment of today by its time, another by its date as well. @param {number} [ms] since the epoch */
export function moment(ms) {
  if (!isKnown(ms) || ms === 0) return NOTHING;
  const date = new Date(ms);
  const time = clock(ms);
  return date.toDateString() === new Date().toDateString() ? time : `${date.toISOString().slice(0, 10)} ${time}`;
}

/** A time of day. @param {number} ms since the epoch */
export function clock(ms) {
  return new Date(ms).toTimeString().slice(0, 8);
}

/** How long ago. @param {number} [ms] since the epoch */
export function ago(ms) {
  if (!isKnown(ms) || ms === 0) return NOTHING;
  const seconds = (Date.now() - ms) / 1000;
  return seconds < 1 ? "just now" : `${duration(seconds)} ago`;
}

/** @param {unknown} value anything that there may not be */
export function text(value) {
  return value === undefined || value === null || value === "" ? NOTHING : String(value);
}
