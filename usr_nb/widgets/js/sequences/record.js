/** One row of a page, as the canvas needs it. */
import { complement, positionAt } from "./geometry.js";

/** @typedef {import("./geometry.js").Align} Align */
/** @typedef {import("./geometry.js").Feature} Feature */
/**
 * @typedef {object} Row A row of PAGE_SCHEMA (analysis/sequences.py).
 * @property {number} row @property {string} id @property {string | null} name
 * @property {string} bio_type @property {number} length @property {number | null} anchor
 * @property {number} first @property {string} letters @property {string | null} against
 * @property {Feature[] | null} features @property {Feature[] | null} hits
 * @property {ArrayLike<number> | null} track
 */

/**
 * The letter at a coordinate as it is read there, and the one it is compared with.
 * @param {Row} row
 * @param {Align} align
 * @param {boolean} turned
 * @param {number} coordinate
 * @returns {{ position: number, letter: string, other: string | null, value: number | null } | null}
 */
export function letterAt(row, align, turned, coordinate) {
  const position = positionAt(row, align, turned, coordinate);
  const at = position - row.first;
  if (at < 0 || at >= row.letters.length) return null;
  /** @param {string} letter */
  const read = (letter) => (turned ? complement(letter, row.bio_type) : letter);
  const other = row.against === null ? null : row.against.charAt(at);
  return {
    position,
    letter: read(row.letters.charAt(at)),
    other: other === null ? null : read(other),
    value: row.track ? (row.track[at] ?? null) : null,
  };
}

/**
 * The letters between two coordinates as text, without the blanks at both ends.
 * @param {Row} row
 * @param {Align} align
 * @param {boolean} turned
 * @param {number} x0
 * @param {number} x1
 */
export function textBetween(row, align, turned, x0, x1) {
  let text = "";
  for (let x = x0; x < x1; x++) text += letterAt(row, align, turned, x)?.letter ?? "";
  return text;
}

/** What stands to the left of a row: the name if there is one, and eight letters of the id.
 * @param {Row} row */
export const shortName = (row) => row.name ?? row.id.slice(0, 8);
