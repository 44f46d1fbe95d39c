/** A brush over the bins of a histogram, as a range, and back: pure functions. */

/** @typedef {import("./nodes.js").Feature} Feature */
/** @typedef {import("./nodes.js").Range} Range */
/** @typedef {import("./nodes.js").Value} Value */
/**
 * @typedef {object} Bins
 * @property {"number" | "time"} kind
 * @property {number[]} edges One more than there are bins; times in microseconds.
 * @property {string[] | null} times The edges as text.
 * @property {boolean} whole Whether the numbers are whole.
 */

/**
 * The bins from `a` to `b` (places between bins, in either order), or null where that is all of them.
 * An end at the side of the view is no end: what lies beyond is in.
 * @param {Feature} feature
 * @param {Bins} bins
 * @param {number} a
 * @param {number} b
 * @returns {Range | null}
 */
export function rangeOfBins(feature, bins, a, b) {
  const last = bins.edges.length - 1;
  const from = Math.max(0, Math.min(a, b));
  const to = Math.min(last, Math.max(a, b));
  const low = from > 0 ? endAt(bins, from) : null;
  let high = to < last ? endAt(bins, to) : null;
  if (from >= to || (low === null && high === null)) return null;
  let highOpen = high !== null;
  // Of whole numbers 40 to 59 is said, not 40 to just below 60.
  if (bins.whole && bins.kind === "number" && typeof high === "number" && Number.isInteger(high)) {
    high -= 1;
    highOpen = false;
  }
  return { kind: "range", feature, low, high, low_open: false, high_open: highOpen, outside: false };
}

/** @param {Bins} bins @param {number} place @returns {Value} */
function endAt(bins, place) {
  if (bins.kind === "time") return { time: bins.times?.[place] ?? "" };
  return bins.edges[place] ?? 0;
}

/** A value of a range as a number to compare with edges. @param {Value} value */
export function numberOf(value) {
  if (typeof value === "number") return value;
  if (typeof value === "object" && "time" in value) {
    const [, seconds = value.time, fraction = ""] = /^(.*?)(?:\.(\d{1,6})\d*)?Z?$/.exec(value.time) ?? [];
    return Date.parse(`${seconds}Z`) * 1000 + Number(fraction.padEnd(6, "0"));
  }
  if (typeof value === "object" && "float" in value) return value.float === "inf" ? Infinity : -Infinity;
  return NaN;
}

/**
 * Where a range stands among the bins: places between bins, fractions within one.
 * @param {Bins} bins
 * @param {Range} range
 * @returns {[number, number]}
 */
export function placesOfRange(bins, range) {
  const last = bins.edges.length - 1;
  const low = range.low === null ? 0 : placeOf(bins.edges, numberOf(range.low));
  let top = range.high === null ? null : numberOf(range.high);
  if (top !== null && bins.whole && bins.kind === "number" && !range.high_open) top += 1;
  return [low, top === null ? last : placeOf(bins.edges, top)];
}

/** @param {number[]} edges @param {number} x */
export function placeOf(edges, x) {
  const last = edges.length - 1;
  const first = edges[0] ?? 0;
  if (!(x > first)) return 0;
  if (x >= (edges[last] ?? 0)) return last;
  let bin = 0;
  while (bin < last - 1 && x >= (edges[bin + 1] ?? Infinity)) bin += 1;
  const low = edges[bin] ?? 0;
  const high = edges[bin + 1] ?? low;
  return high > low ? bin + (x - low) / (high - low) : bin;
}

/**
 * A range from what was typed: an empty field is no end. Null where both are empty.
 * @param {Feature} feature
 * @param {string} low
 * @param {string} high
 * @param {{ time: boolean, percent: boolean }} how
 * @returns {Range | null}
 */
export function typedRange(feature, low, high, how) {
  const [a, b] = [typedValue(low, how), typedValue(high, how)];
  if (a === null && b === null) return null;
  return { kind: "range", feature, low: a, high: b, low_open: false, high_open: false, outside: false };
}

/** @param {string} text @param {{ time: boolean, percent: boolean }} how @returns {Value | null} */
function typedValue(text, how) {
  const trimmed = text.trim().replace(/\s*%$/, "");
  if (trimmed === "") return null;
  if (how.time) return { time: trimmed };
  // A thousands' comma is left out; a minus may be the longer one.
  const number = Number(trimmed.replace(/,(?=\d{3})/g, "").replace("−", "-"));
  if (!Number.isFinite(number)) throw new Error(`“${text.trim()}” is no number.`);
  // 0.1 + 0.2: percents are divided as text would be.
  return how.percent ? Number((number / 100).toPrecision(15)) : number;
}

/** The height of a bar, so that one row is seen beside a million. @param {number} n @param {number} most */
export const barHeight = (n, most) => (n === 0 || most === 0 ? 0 : Math.max(2, (100 * n) / most));

/**
 * How much taller the bars of what is left are drawn, so that their shape is seen: 1, 10, 100, ...
 * @param {number} most The tallest bar of all.
 * @param {number} kept The tallest of what is left.
 */
export const zoomOf = (most, kept) => (kept > 0 && most / kept >= 10 ? 10 ** Math.floor(Math.log10(most / kept) + 1e-9) : 1);
