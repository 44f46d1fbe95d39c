/** A histogram that is brushed, by mouse or by key. */
import { el, Scope } from "../lib/dom.js";
import { grouped } from "../lib/numbers.js";
import { barHeight, placesOfRange, rangeOfBins, zoomOf } from "./brush.js";
import { numberText } from "./format.js";

/** @typedef {import("./nodes.js").Range} Range */
/** @typedef {import("./nodes.js").Feature} Feature */
/** @typedef {import("./format.js").Manner} Manner */
/**
 * @typedef {import("./brush.js").Bins & { shown: number, rows: number[], kept: number[] }} Facet
 */

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} tag @param {Record<string, string | number>} attributes */
function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

export class Histogram {
  /**
   * @param {{ feature: () => Feature, title: string, manner: () => Manner, scope: Scope,
   *   brushed: (range: Range | null, done: boolean) => void }} options
   */
  constructor(options) {
    this.options = options;
    /** @type {Facet | null} */
    this.facet = null;
    /** @type {[number, number]} places between bins */
    this.at = [0, 0];
    this.outside = false;
    /** How much taller the filtered bars are drawn. */
    this.zoom = 1;
    this.svg = shape("svg", { preserveAspectRatio: "none", class: "flt-bars", "aria-hidden": "true" });
    this.tip = el("div", { class: "flt-tip", hidden: true, "data-testid": "tip" });
    this.shades = [el("div", { class: "flt-shade" }), el("div", { class: "flt-shade" }), el("div", { class: "flt-shade" })];
    this.handles = /** @type {const} */ (["from", "to"]).map((which) =>
      el("div", { class: "flt-handle", role: "slider", tabindex: 0, "data-testid": `handle-${which}`,
        "aria-label": `${options.title}, ${which}`, "aria-orientation": "horizontal" }));
    this.root = el("div", { class: "flt-hist", "data-testid": "hist" }, ...this.shades, ...this.handles, this.tip);
    this.root.prepend(this.svg);
    this.#listen();
  }

  /** @param {Facet} facet */
  show(facet) {
    this.facet = facet;
    const n = facet.shown;
    this.svg.setAttribute("viewBox", `0 0 ${n} 100`);
    this.all = Array.from({ length: n }, (_, i) => shape("rect", { x: i + 0.05, width: 0.9, class: "all" }));
    this.kept = Array.from({ length: n }, (_, i) => shape("rect", { x: i + 0.05, width: 0.9, class: "kept" }));
    this.svg.replaceChildren(...this.all, ...this.kept);
    this.count(facet.rows, facet.kept);
  }

  /** @param {number[]} rows @param {number[]} kept */
  count(rows, kept) {
    if (this.facet === null) return;
    this.facet = { ...this.facet, rows, kept };
    const most = Math.max(1, ...rows.slice(0, this.facet.shown));
    this.zoom = zoomOf(most, Math.max(0, ...kept.slice(0, this.facet.shown)));
    const draw = (/** @type {Element | undefined} */ bar, /** @type {number} */ n) => {
      const height = Math.min(100, barHeight(n, most));
      bar?.setAttribute("height", height.toFixed(2));
      bar?.setAttribute("y", (100 - height).toFixed(2));
    };
    for (let i = 0; i < this.facet.shown; i += 1) {
      draw(this.all?.[i], rows[i] ?? 0);
      draw(this.kept?.[i], (kept[i] ?? 0) * this.zoom);
    }
  }

  /** Shows where a range stands. @param {Range | null} range @param {boolean} outside */
  mark(range, outside) {
    if (this.facet === null) return;
    const n = this.facet.shown;
    this.outside = outside;
    this.at = range === null ? [0, n] : placesOfRange(this.facet, range);
    const [a, b] = this.at.map((p) => (100 * p) / n);
    const spans = range === null ? [] : outside ? [[a, b]] : [[0, a], [b, 100]];
    this.shades.forEach((shade, i) => {
      const [from = 0, to = 0] = spans[i] ?? [];
      shade.hidden = to <= from;
      shade.style.left = `${from}%`;
      shade.style.width = `${to - from}%`;
    });
    this.handles.forEach((handle, i) => {
      const place = this.at[i] ?? 0;
      const edge = this.facet?.edges[Math.round(place)] ?? 0;
      handle.style.left = `${(100 * place) / n}%`;
      handle.setAttribute("aria-valuemin", "0");
      handle.setAttribute("aria-valuemax", String(n));
      handle.setAttribute("aria-valuenow", String(Math.round(place)));
      handle.setAttribute("aria-valuetext", numberText(edge, this.options.manner()));
    });
    this.root.dataset["brushed"] = String(range !== null);
  }

  /** @param {number} a @param {number} b @param {boolean} done */
  #brush(a, b, done) {
    if (this.facet === null) return;
    const range = rangeOfBins(this.options.feature(), this.facet, a, b);
    // Outside needs both ends; a brush to the side of the view has one and is then the other side.
    this.options.brushed(range && this.outside && range.low !== null && range.high !== null ? { ...range, outside: true } : range, done);
  }

  /** @param {PointerEvent} event */
  #place(event) {
    const box = this.root.getBoundingClientRect();
    const n = this.facet?.shown ?? 0;
    return Math.max(0, Math.min(n, ((event.clientX - box.left) / box.width) * n));
  }

  #listen() {
    const { scope } = this.options;
    /** @type {{ fixed: number, handle: number, last: string } | null} */
    let drag = null;
    /** @param {PointerEvent} event @returns {[number, number] | null} */
    const ends = (event) => {
      const at = this.#place(event);
      if (drag === null) return null;
      if (drag.handle >= 0) return [drag.fixed, Math.round(at)];
      // A new brush takes whole bins: those touched.
      return at >= drag.fixed ? [Math.floor(drag.fixed), Math.ceil(at)] : [Math.ceil(drag.fixed), Math.floor(at)];
    };
    scope.listen(this.root, "pointerdown", (/** @type {PointerEvent} */ event) => {
      if (this.facet === null || event.button !== 0) return;
      event.preventDefault();
      const handle = this.handles.indexOf(/** @type {HTMLDivElement} */ (event.target));
      drag = { handle, fixed: handle < 0 ? this.#place(event) : Math.round(this.at[1 - handle] ?? 0), last: "" };
      this.root.setPointerCapture(event.pointerId);
      (this.handles[handle < 0 ? 1 : handle])?.focus({ preventScroll: true });
    });
    scope.listen(this.root, "pointermove", (/** @type {PointerEvent} */ event) => {
      const found = ends(event);
      if (found === null || drag === null) return this.#hover(event);
      const now = found.join();
      if (now !== drag.last) {
        drag.last = now;
        this.#brush(found[0], found[1], false);
      }
    });
    const end = (/** @type {PointerEvent} */ event) => {
      const found = ends(event);
      drag = null;
      if (found !== null) this.#brush(found[0], found[1], true);
    };
    scope.listen(this.root, "pointerup", end);
    scope.listen(this.root, "pointercancel", end);
    scope.listen(this.root, "pointerleave", () => (this.tip.hidden = true));
    scope.listen(this.root, "dblclick", () => this.options.brushed(null, true));
    this.handles.forEach((handle, i) => scope.listen(handle, "keydown", (event) => this.#key(event, i)));
  }

  /** @param {KeyboardEvent} event @param {number} i */
  #key(event, i) {
    if (this.facet === null) return;
    const n = this.facet.shown;
    const by = event.shiftKey ? Math.max(1, Math.round(n / 10)) : 1;
    const now = Math.round(this.at[i] ?? 0);
    const to = { ArrowLeft: now - by, ArrowDown: now - by, ArrowRight: now + by, ArrowUp: now + by,
      Home: 0, End: n, PageUp: now + 10, PageDown: now - 10 }[event.key];
    if (event.key === "Delete" || event.key === "Escape") this.options.brushed(null, true);
    else if (to === undefined) return;
    else {
      const other = Math.round(this.at[1 - i] ?? 0);
      // The handles do not pass one another, and leave a bin between them.
      const place = i === 0 ? Math.max(0, Math.min(to, other - 1)) : Math.min(n, Math.max(to, other + 1));
      this.#brush(place, other, true);
    }
    event.preventDefault();
  }

  /** @param {PointerEvent} event */
  #hover(event) {
    if (this.facet === null) return;
    const bin = Math.min(this.facet.shown - 1, Math.floor(this.#place(event)));
    const how = this.options.manner();
    const [low = 0, high = 0] = this.facet.edges.slice(bin, bin + 2);
    const single = how.whole && high - low === 1;
    this.tip.textContent = `${numberText(low, how)}${single ? "" : ` to below ${numberText(high, how)}`}: ${grouped(this.facet.kept[bin] ?? 0)} of ${grouped(this.facet.rows[bin] ?? 0)}`;
    this.tip.hidden = false;
    this.tip.dataset["side"] = bin > this.facet.shown / 2 ? "left" : "right";
  }
}
