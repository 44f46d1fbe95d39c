/**
 * Where things stand: pure functions from rows and coordinates to positions and back.
 *
 * A coordinate counts letters from the line in which rows are aligned; a position counts letters
 * from the start of a sequence. Both begin at 0. Turned round (reverse complement) a row is read
 * from its end, and the coordinates follow.
 */

/** @typedef {"start" | "end" | "feature" | "column"} Align */
/** @typedef {{ start: number, end: number, strand: number, label: string }} Feature */

const COMPLEMENT = "ACGTURYSWKMBDHVN";
const COMPLEMENTED = "TGCAAYRSWMKVHDBN";

/**
 * The complement of one letter, case kept; a letter that is no nucleotide stays.
 * @param {string} letter
 * @param {string} bioType
 */
export function complement(letter, bioType) {
  const at = COMPLEMENT.indexOf(letter.toUpperCase());
  if (at < 0) return letter;
  let found = COMPLEMENTED.charAt(at);
  if (bioType === "rna" && found === "T") found = "U";
  return letter === letter.toLowerCase() ? found.toLowerCase() : found;
}

/**
 * The position under coordinate 0 when reading forwards: what the kernel aligns by.
 * @param {{ anchor: number | null, length: number }} row
 * @param {Align} align
 * @param {boolean} turned
 */
export function origin(row, align, turned) {
  if (!turned) return row.anchor ?? 0;
  if (align === "start") return row.length - 1;
  if (align === "end") return -1;
  return row.anchor ?? 0;
}

/**
 * The position (0-based) that stands at a coordinate; it may lie outside the sequence.
 * @param {{ anchor: number | null, length: number }} row
 * @param {Align} align
 * @param {boolean} turned
 * @param {number} coordinate
 */
export function positionAt(row, align, turned, coordinate) {
  return origin(row, align, turned) + (turned ? -coordinate : coordinate);
}

/**
 * The coordinate at which a position stands.
 * @param {{ anchor: number | null, length: number }} row
 * @param {Align} align
 * @param {boolean} turned
 * @param {number} position
 */
export function coordinateOf(row, align, turned, position) {
  const shift = position - origin(row, align, turned);
  return turned ? 0 - shift : shift;
}

/**
 * What to ask the kernel for, so that it sends the letters at coordinates [x0, x1).
 * @param {Align} align
 * @param {boolean} turned
 * @param {number} x0
 * @param {number} x1
 * @returns {{ align: Align, first: number, letters: number }}
 */
export function windowFor(align, turned, x0, x1) {
  const letters = Math.max(0, x1 - x0);
  if (!turned) return { align, first: x0, letters };
  // Read backwards the first letter is the last: it stands one before the end.
  if (align === "start") return { align: "end", first: 0 - x1, letters };
  if (align === "end") return { align: "start", first: 0 - x1, letters };
  return { align, first: 1 - x1, letters };
}

/**
 * The range of coordinates that any row can reach.
 * @param {Align} align
 * @param {number} maxLength
 * @returns {[number, number]}
 */
export function extent(align, maxLength) {
  const length = Math.max(maxLength, 1);
  if (align === "start") return [0, length];
  if (align === "end") return [-length, 0];
  return [-length, length];
}

/**
 * What the ruler says at a coordinate: 1-based from the start; from an anchor +1, without a zero.
 * @param {Align} align
 * @param {number} coordinate
 */
export function rulerLabel(align, coordinate) {
  if (coordinate < 0) return `−${-coordinate}`;
  const label = (coordinate + 1).toLocaleString("en-US");
  return align === "feature" || align === "column" ? `+${label}` : label;
}

/**
 * Coordinates in [x0, x1) that get a tick: 1, 10, 20 … for people, so 0, 9, 19 … here; to the left
 * of an anchor -10, -20 ….
 * @param {Align} align
 * @param {number} x0
 * @param {number} x1
 * @param {number} width pixels of a letter
 * @returns {number[]}
 */
export function ticks(align, x0, x1, width) {
  const step = [1, 2, 5].flatMap((f) => [1, 10, 100, 1e3, 1e4, 1e5].map((p) => f * p))
    .sort((a, b) => a - b)
    .find((s) => s * width >= 56 && s >= 5) ?? 1e6;
  const found = [];
  for (let k = Math.ceil(x0 / step) - 1; k * step <= x1; k++) {
    const coordinate = k > 0 ? k * step - 1 : k === 0 ? 0 : k * step;
    if (coordinate >= x0 && coordinate < x1) found.push(coordinate);
  }
  return align === "end" ? found.filter((c) => c < 0) : found;
}

/**
 * Puts overlapping features into lanes: the first lane that is free.
 * @param {Feature[]} features by start
 * @returns {{ lanes: number[], count: number }} the lane of each
 */
export function stack(features) {
  /** @type {number[]} */
  const ends = [];
  const lanes = features.map((f) => {
    const free = ends.findIndex((end) => end <= f.start);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = f.end;
    return lane;
  });
  return { lanes, count: ends.length };
}

/**
 * A feature as it stands on screen: coordinates and the way its arrow points.
 * @param {Feature} feature
 * @param {{ anchor: number | null, length: number }} row
 * @param {Align} align
 * @param {boolean} turned
 */
export function placed(feature, row, align, turned) {
  const a = coordinateOf(row, align, turned, feature.start);
  const b = coordinateOf(row, align, turned, feature.end - 1);
  return { from: Math.min(a, b), to: Math.max(a, b) + 1, way: turned ? 0 - feature.strand : feature.strand };
}

/** What a scroll bar can show: browsers cut elements that are higher or wider than some millions. */
export const MAX_SCROLL = 4_000_000;

/**
 * From a scroll offset to a first unit, and back: bars of a fixed length for any number of units.
 * @param {{ units: number, visible: number, unit: number, view: number }} axis
 */
export function scrollAxis({ units, visible, unit, view }) {
  const span = Math.max(0, units - visible);
  const size = Math.min(MAX_SCROLL, Math.max(view, Math.ceil(view + span * unit)));
  const room = size - view;
  return {
    size,
    /** @param {number} offset */
    toUnit: (offset) => (room <= 0 ? 0 : (Math.min(offset, room) / room) * span),
    /** @param {number} first */
    toOffset: (first) => (span <= 0 ? 0 : (Math.min(first, span) / span) * room),
  };
}
