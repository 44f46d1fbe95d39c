/** Small pictures: histograms, sparklines, bars of nulls. */
import { el } from "../lib/dom.js";
import { barsPath, binText, linePath } from "./words.js";

/** @typedef {import("./words.js").Histogram} Histogram */
/** @typedef {import("./words.js").Info} Info */

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} tag @param {Record<string, string | number>} attributes @param {...Element} children */
function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/**
 * A histogram of all records, with that of the records kept before it.
 * @param {Histogram} all
 * @param {Histogram | null} kept
 * @param {{ width: number, height: number, info: Info, label: string, tell: (text: string) => void, signal: AbortSignal }} how
 */
export function histogram(all, kept, { width, height, info, label, tell, signal }) {
  const most = Math.max(...all.counts);
  const made = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "desc-hist", "data-testid": "histogram", preserveAspectRatio: "none",
    role: "img", "aria-label": label, "data-counts": all.counts.join(" ") },
    svg("path", { class: "all", d: barsPath(all.counts, most, width, height) }));
  if (kept) {
    made.setAttribute("data-kept", kept.counts.join(" "));
    made.append(svg("path", { class: "kept", d: barsPath(kept.counts, most, width, height) }));
  }
  made.addEventListener("mousemove", (event) => {
    const box = made.getBoundingClientRect();
    const i = Math.floor(((event.clientX - box.left) / box.width) * all.counts.length);
    tell(binText(all, kept, Math.min(all.counts.length - 1, Math.max(0, i)), info));
  }, { signal });
  made.addEventListener("mouseleave", () => tell(""), { signal });
  return made;
}

/** The means of a vector's places. @param {(number | null)[]} all @param {(number | null)[] | null} kept @param {string} label */
export function sparkline(all, kept, label) {
  const made = svg("svg", { viewBox: "0 0 160 32", class: "desc-spark", "data-testid": "sparkline", preserveAspectRatio: "none", role: "img",
    "aria-label": label, "data-points": all.map((v) => (v === null ? "" : String(v))).join(" ") },
    svg("path", { class: "all", d: linePath(all, 160, 32) }));
  if (kept) made.append(svg("path", { class: "kept", d: linePath(kept, 160, 32) }));
  return made;
}

/** A bar of a share. @param {number} percent @param {string} kind */
export function bar(percent, kind) {
  const inner = el("span", { class: kind });
  inner.style.width = `${percent}%`;
  return el("span", { class: "desc-bar", "aria-hidden": "true" }, inner);
}
