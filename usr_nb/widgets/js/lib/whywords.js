/** Where a value comes from, as people read it: pure functions. */

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
