/** Times and counts of the history, as people read them: pure functions. */

/**
 * A UTC time of the log as local text, or as it stands where it is no time.
 * @param {string} utc
 * @param {string} [zone] for tests
 */
export function localTime(utc, zone) {
  const at = new Date(utc);
  if (Number.isNaN(at.getTime())) return utc || "–";
  // Sweden writes dates as ISO 8601 does, which sorts and is read the same everywhere.
  return new Intl.DateTimeFormat("sv-SE", {
    dateStyle: "short", timeStyle: "medium", ...(zone ? { timeZone: zone } : {}),
  }).format(at);
}

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

/**
 * @typedef {{ role: "winner" | "shadowed" | "earlier" | "base", decides: boolean, value: string | null, path: string, at: string,
 *   who: string, did: string, gone: string }} Step
 */

/** What a file has to do with a cell. @param {Step} step */
export function roleText(step) {
  if (step.decides) return step.role === "base" ? "the base decides" : "decides";
  return { winner: "decides", shadowed: "was replaced", earlier: "put aside", base: "in the base" }[step.role];
}

/** A value as JSON, null as –. @param {string | null} value */
export const valueText = (value) => (value === null ? "–" : value);

/** Who set a value in the first place, where a compaction or a materialize stands before it. @param {{ setter: string, steps: Step[] }} found */
export function setterText(found) {
  const first = found.steps.find((s) => s.decides);
  const same = first && found.setter.startsWith(`${first.who} at `) && found.setter.endsWith(`: ${first.did}`);
  return found.setter && first && !same ? `First set by ${found.setter}` : "";
}
