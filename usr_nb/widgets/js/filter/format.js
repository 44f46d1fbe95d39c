/** Numbers of a section as people read them: pure functions. */
import { grouped, scoreText } from "../lib/numbers.js";

/** @typedef {{ kind: string, percent: boolean, whole: boolean }} Manner */

/** @param {number} n @param {number} total */
export function sharedText(n, total) {
  const share = total > 0 ? ` (${((100 * n) / total).toFixed(1)} %)` : "";
  return `${grouped(n)} of ${grouped(total)}${share}`;
}

/** A number of a section. @param {number} x @param {Manner} how */
export function numberText(x, how) {
  if (how.kind === "time") return timeText(x);
  if (how.percent) return `${Number((100 * x).toFixed(1))} %`;
  if (how.whole && Number.isSafeInteger(x)) return grouped(x);
  return scoreText(x);
}

/** Microseconds since 1970 as a day, and the time of it where it is not midnight. @param {number} micros */
export function timeText(micros) {
  const at = new Date(micros / 1000);
  if (Number.isNaN(at.getTime())) return String(micros);
  const text = at.toISOString();
  return text.endsWith("T00:00:00.000Z") ? text.slice(0, 10) : text.slice(0, 19).replace("T", " ");
}

/** A value of a category; an empty one is seen. @param {unknown} value */
export const valueText = (value) => (value === "" ? "“” (empty)" : typeof value === "boolean" ? String(value) : String(value));

/**
 * A bound as it is typed.
 * @param {import("./nodes.js").Value | null} value
 * @param {boolean} percent
 */
export function typedText(value, percent) {
  if (value === null) return "";
  if (typeof value === "object") return "time" in value ? value.time.replace(/T00:00:00(\.0+)?Z$/, "") : value.float;
  if (percent && typeof value === "number") return String(Number((100 * value).toPrecision(12)));
  return String(value);
}
