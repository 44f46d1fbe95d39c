/** Times and counts of the history, as people read them: pure functions. */

/**
 * What an input of local time holds, as the UTC text that events have.
 * @param {string} local `YYYY-MM-DDTHH:MM`, or empty
 */
export function utcText(local) {
  const at = new Date(local);
  return local === "" || Number.isNaN(at.getTime()) ? "" : at.toISOString().replace("Z", "000Z");
}

/** @param {number} n @param {string} one @param {string} [many] */
export const counted = (n, one, many = `${one}s`) => `${n.toLocaleString("en-US")} ${n === 1 ? one : many}`;

/**
 * @typedef {{ line: number, at: string, rows: number | null, cols: number | null, size_bytes: number | null }} Moment
 * @typedef {{ before: Moment, after: Moment, events: number, actions: Record<string, number>, records_added: number,
 *   records_deleted: number, records_restored: number, written: Record<string, number> }} Comparison
 */

/**
 * The lines of a comparison.
 * @param {Comparison} c
 * @returns {string[]}
 */
export function comparisonLines(c) {
  /** @param {number | null} a @param {number | null} b @param {string} what */
  const change = (a, b, what) => {
    if (a === null || b === null) return null;
    const by = b - a;
    const sign = by > 0 ? "+" : by < 0 ? "−" : "±";
    return `${what}: ${a.toLocaleString("en-US")} → ${b.toLocaleString("en-US")} (${sign}${Math.abs(by).toLocaleString("en-US")})`;
  };
  return [
    `${counted(c.events, "event")} in between: ${Object.entries(c.actions).map(([a, n]) => `${a} ${n.toLocaleString("en-US")}`).join(", ") || "none"}`,
    change(c.before.rows, c.after.rows, "rows of the base"),
    change(c.before.cols, c.after.cols, "columns of the base"),
    change(c.before.size_bytes, c.after.size_bytes, "bytes of the base"),
    `${counted(c.records_added, "record")} imported, ${counted(c.records_deleted, "record")} deleted, ${counted(c.records_restored, "record")} restored`,
  ].filter((line) => line !== null);
}

/** What cannot be compared, and why. @param {Record<string, string>} unknown namespace to reason */
export const changeLines = (unknown) => Object.entries(unknown).map(([ns, why]) => `${ns}: its values of then are not known, ${why}.`);
