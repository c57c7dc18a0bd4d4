/**
 * Latencies in buckets. `counts[i]` is how many took at most `bounds[i]` seconds and longer than the bound before; the last count is of
 * those that took longer than every bound.
 * @typedef {{ bounds: number[], counts: number[] }} Histogram
 */

/**
 * What came in between two readings; all of the later one, if the earlier is of another process.
 * @param {Histogram} later
 * @param {Histogram} [earlier]
 * @returns {Histogram}
 */
export function since(later, earlier) {
  const isSame = earlier && earlier.counts.length === later.counts.length && later.counts.every((count, i) => count >= earlier.counts[i]);
  return isSame ? { bounds: later.bounds, counts: later.counts.map((count, i) => count - earlier.counts[i]) } : later;
}

/**
 * The value that this part of all stays below, as exactly as buckets tell; `null` if there is none.
 * @param {Histogram | undefined} histogram
 * @param {number} part such as 0.99
 * @returns {number | null}
 */
export function quantile(histogram, part) {
  const counts = histogram?.counts ?? [];
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  const { bounds } = histogram;
  let below = 0;
  for (let i = 0; i < counts.length; i += 1) {
    if (counts[i] > 0 && below + counts[i] >= part * all) {
      if (i >= bounds.length) return bounds[bounds.length - 1] ?? null;
      const from = i === 0 ? 0 : bounds[i - 1];
      return from + (bounds[i] - from) * ((part * all - below) / counts[i]);
    }
    below += counts[i];
  }
  return null;
}
