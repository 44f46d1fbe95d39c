/** Small tables of what a plan shows. */
import "./tables.css";
import { el } from "./dom.js";
import { grouped } from "./numbers.js";

/** @param {unknown} cell */
const text = (cell) => (cell === null || cell === undefined ? "–" : cell === "" ? '""' : typeof cell === "number" ? grouped(cell) : String(cell));

/**
 * @param {string[]} heads
 * @param {unknown[][]} rows numbers stand right; nodes stand as they are
 * @param {string} [testid]
 */
export function table(heads, rows, testid) {
  const body = rows.map((row) => el("tr", { "data-testid": testid ? `${testid}-row` : null },
    ...row.map((cell) => el("td", { class: typeof cell === "number" ? "n" : null }, cell instanceof Node ? cell : text(cell)))));
  return el("table", { class: "w-table", "data-testid": testid ?? null },
    el("thead", {}, el("tr", {}, ...heads.map((h, i) => el("th", { scope: "col", class: typeof rows[0]?.[i] === "number" ? "n" : null }, h)))), el("tbody", {}, ...body));
}

/** @param {string} name @param {string} label @param {number | string} value @param {boolean} [bad] */
export const tile = (name, label, value, bad = false) =>
  el("div", { class: bad ? "w-tile bad" : "w-tile" }, el("b", { "data-testid": name }, typeof value === "number" ? grouped(value) : value), el("span", {}, label));

/** @param {string} title @param {...Node} children */
export const part = (title, ...children) => el("div", { class: "w-part" }, el("h4", {}, title), ...children);
