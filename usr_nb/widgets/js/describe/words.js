/** What the panel *describe* says, in words and paths: pure functions. */
import { formatted, grouped, scoreText } from "../lib/numbers.js";

/**
 * @typedef {number | string | boolean | null} Value Infinities and NaN come as text of numbers, times as ISO text.
 * @typedef {{ from: Value, to: Value, counts: number[] }} Histogram
 * @typedef {{ count: number, nan: number, infinite: number, min: Value, mean: Value, max: Value, histogram?: Histogram,
 *   std?: Value, quantiles?: [number, Value][], exact?: boolean }} Numbers
 * @typedef {{ distinct: number, exact: boolean, top: [Value, number][] }} Words
 * @typedef {{ rows: number, nulls: number, example?: Value, numbers?: Numbers, words?: Words, lengths?: Numbers,
 *   means?: (number | null)[], elements?: Stats, fields?: number, children?: (Stats & { name: string, type: string })[] }} Stats
 * @typedef {{ unit?: string, label?: string, better?: string, format?: string, model?: string, reduction?: string }} Info
 * @typedef {{ name: string, type: string, info: Info, owner: string | null, description: string | null, all: Stats, kept: Stats | null, cut?: boolean }} Column
 * @typedef {{ name: string, namespace: string, type: string, label: string, unit: string, nulls: number, nulls_kept: number | null }} Entry
 */

/** @param {number} part @param {number} of */
export const share = (part, of) => `${of === 0 ? "0.0" : ((100 * part) / of).toFixed(1)} %`;

/** @param {number} part @param {number} of */
export const partOf = (part, of) => `${grouped(part)} of ${grouped(of)} (${share(part, of)})`;

/** A percentage: never 0 or 100 where it is not. @param {number} percent */
export function nullText(percent) {
  if (percent === 0 || percent === 100) return `${percent} %`;
  if (percent < 0.05) return "< 0.1 %";
  return percent > 99.95 ? "> 99.9 %" : `${percent.toFixed(1)} %`;
}

/** Is this text a time? @param {Value} value @returns {value is string} */
const isTime = (value) => typeof value === "string" && /^\d{4,}-\d\d-\d\d[T ]/.test(value);

/**
 * A value for people: null –, empty "", NaN, text as it is.
 * @param {Value | undefined} value
 * @param {Info} [info]
 */
export function valueText(value, info = {}) {
  if (value === null || value === undefined) return "–";
  if (value === "") return '""';
  if (value === "inf") return "∞";
  if (value === "-inf") return "−∞";
  if (typeof value === "number") return info.format ? formatted(value, info.format) : scoreText(value);
  if (isTime(value)) return value.slice(0, 19).replace("T", " ");
  return String(value);
}

/** @param {number} n @param {Info} info whole numbers below a million are written out */
const end = (n, info) =>
  !info.format && Number.isInteger(n) && Math.abs(n) < 1e6 ? grouped(n) : valueText(n, info);

/** One end of a range. @param {Value} value @param {Info} info */
export const endText = (value, info) => (typeof value === "number" ? end(value, info) : valueText(value, info));

/**
 * The range of numbers or times: "40 to 160 nt, mean 99.8".
 * @param {Numbers} numbers
 * @param {Info} [info]
 */
export function rangeText(numbers, info = {}) {
  if (numbers.count === 0) return numbers.nan ? "NaN only" : "no value";
  const [low, high] = [endText(numbers.min, info), endText(numbers.max, info)];
  const unit = info.unit ? ` ${info.unit}` : "";
  if (low === high) return `${low}${unit}`;
  const mean = numbers.mean === null ? "" : `, mean ${valueText(numbers.mean, info)}`;
  return `${low} to ${high}${unit}${mean}`;
}

/** How many different values. @param {Words} words */
export const distinctText = (words) =>
  `${words.exact ? "" : "about "}${grouped(words.distinct)} different`;

/** The most frequent values. @param {Words} words @param {number} rows @param {number} [most] */
export const topText = (words, rows, most = 3) =>
  words.top.slice(0, most).map(([v, n]) => `${valueText(v)} ${share(n, rows)}`).join(" · ");

/**
 * A type as people read it: vectors as `vec[512]`.
 * @param {string} type
 * @param {Stats} [stats]
 */
export function typeText(type, stats) {
  const fixed = /^fixed_size_list<(.*)>\[(\d+)\]$/.exec(type);
  if (fixed) return `vec[${fixed[2]}]`;
  if (stats?.means && stats.lengths && /^list<(float|int|uint)\d+>$/.test(type)) return `vec[${stats.lengths.max}]`;
  if (/^struct</.test(type)) return `struct, ${stats?.fields ?? "?"} fields`;
  if (/^list<struct</.test(type)) return "list of structs";
  return type.replace(/^timestamp\[.*\]$/, "time");
}

/** What the line of a column says of some records. @param {Stats} stats @param {Info} info */
export function lineText(stats, info) {
  const there = stats.rows - stats.nulls;
  if (stats.rows === 0) return "no record";
  if (there === 0) return "null only";
  if (stats.numbers) {
    const odd = [stats.numbers.nan ? `${grouped(stats.numbers.nan)} NaN` : "", stats.numbers.infinite ? `${grouped(stats.numbers.infinite)} infinite` : ""];
    return [rangeText(stats.numbers, info), ...odd].filter(Boolean).join(", ");
  }
  if (stats.words) {
    const top = topText(stats.words, there);
    return top === "" ? distinctText(stats.words) : `${distinctText(stats.words)}: ${top}`;
  }
  if (stats.lengths) {
    const inside = stats.elements?.numbers ? `; items ${rangeText(stats.elements.numbers, info)}`
      : stats.elements?.words ? `; ${distinctText(stats.elements.words)} items` : "";
    return stats.lengths.min === stats.lengths.max ? `length ${endText(stats.lengths.min, {})}${inside}` : `length ${rangeText(stats.lengths)}${inside}`;
  }
  return `${grouped(there)} values`;
}

/** How the mean of the records kept differs. @param {Stats} all @param {Stats} kept @param {Info} info */
export function differenceText(all, kept, info) {
  const [a, b] = [all.numbers?.mean, kept.numbers?.mean];
  if (typeof a !== "number" || typeof b !== "number") return "";
  const by = b - a;
  return by === 0 ? "mean ±0" : `mean ${by > 0 ? "+" : "−"}${valueText(Math.abs(by), info)}`;
}

/**
 * How long ago: "3 d ago".
 * @param {string | null} at UTC
 * @param {number} now milliseconds
 */
export function ago(at, now) {
  const then = at === null ? NaN : Date.parse(at);
  if (Number.isNaN(then)) return "";
  const s = Math.max(0, (now - then) / 1000);
  const [n, unit] = s < 90 ? [s, "s"] : s < 5400 ? [s / 60, "min"] : s < 129600 ? [s / 3600, "h"] : [s / 86400, "d"];
  return `${Math.round(n)} ${unit} ago`;
}

/** The columns that fit what is searched: every word stands in name, label, type or unit. @param {Entry[]} entries @param {string} text */
export function fitting(entries, text) {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  return entries.map((_, i) => i).filter((i) => {
    const entry = entries[i];
    const said = entry ? `${entry.name} ${entry.label} ${entry.type} ${entry.unit}`.toLowerCase() : "";
    return wanted.every((word) => said.includes(word));
  });
}

/** @typedef {"dataset" | "name" | "nulls" | "nulls-low"} Order */

/** Places in the order asked for; equals stay as they are in the dataset. @param {Entry[]} entries @param {number[]} places @param {Order} order */
export function ordered(entries, places, order) {
  /** @param {number} i */
  const key = (i) => /** @type {Entry} */ (entries[i]);
  const by = {
    dataset: () => 0,
    name: (/** @type {number} */ a, /** @type {number} */ b) => (key(a).name < key(b).name ? -1 : key(a).name > key(b).name ? 1 : 0),
    nulls: (/** @type {number} */ a, /** @type {number} */ b) => key(b).nulls - key(a).nulls,
    "nulls-low": (/** @type {number} */ a, /** @type {number} */ b) => key(a).nulls - key(b).nulls,
  }[order];
  return [...places].sort(by);
}

/** Places by namespace, the essential columns ("") first, then A-Z. @param {Entry[]} entries @param {number[]} places */
export function byNamespace(entries, places) {
  /** @type {Map<string, number[]>} */
  const groups = new Map();
  for (const i of places) {
    const name = entries[i]?.namespace ?? "";
    groups.set(name, [...(groups.get(name) ?? []), i]);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

// Marks -----------------------------------------------------------------------------------------

/**
 * The bars of a histogram as one SVG path; a bin with anything in it has at least a hair.
 * @param {number[]} counts
 * @param {number} most What fills the height.
 * @param {number} width
 * @param {number} height
 */
export function barsPath(counts, most, width, height) {
  const step = width / Math.max(1, counts.length);
  const gap = step > 4 ? 1 : 0;
  return counts.map((n, i) => {
    if (n === 0 || most === 0) return "";
    const tall = Math.max(1, (n / most) * height);
    return `M${round(i * step)} ${height}v${round(-tall)}h${round(step - gap)}V${height}z`;
  }).join("");
}

/** A line through values, broken where there is none. @param {(number | null)[]} values @param {number} width @param {number} height */
export function linePath(values, width, height) {
  const known = values.filter((v) => v !== null);
  if (known.length === 0) return "";
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  let pen = "M";
  return values.map((v, i) => {
    if (v === null) {
      pen = "M";
      return "";
    }
    const y = high === low ? height / 2 : height - 1 - ((v - low) / (high - low)) * (height - 2);
    const at = `${pen}${round(i * step)} ${round(y)}`;
    pen = "L";
    return at;
  }).join("");
}

/** @param {number} x */
const round = (x) => Math.round(x * 100) / 100;

/** The two ends of a bin. @param {Histogram} histogram @param {number} i @returns {[Value, Value]} */
export function binEnds({ from, to, counts }, i) {
  const at = (/** @type {number} */ k) => (k === 0 ? from : k === counts.length ? to : between(k / counts.length));
  /** @param {number} part @returns {Value} */
  const between = (part) => {
    if (typeof from === "number" && typeof to === "number") return from + (to - from) * part;
    if (!isTime(from) || !isTime(to)) return null;
    const [a, b] = [Date.parse(from), Date.parse(to)];
    return new Date(a + (b - a) * part).toISOString();
  };
  return [at(i), at(i + 1)];
}

/** What a bin holds: "0.5 to 1: 12 of 40". @param {Histogram} all @param {Histogram | null} kept @param {number} i @param {Info} info */
export function binText(all, kept, i, info) {
  const [low, high] = binEnds(all, i).map((v) => endText(v, info));
  const n = all.counts[i] ?? 0;
  const some = kept ? `${grouped(kept.counts[i] ?? 0)} of ` : "";
  return `${low} ≤ x < ${high}${info.unit ? ` ${info.unit}` : ""}: ${some}${grouped(n)}`;
}
