/** The scrolling canvas: what is visible, what must be fetched for it, and what lies under the mouse. */
import { el } from "../lib/dom.js";
import { rowsOf } from "../lib/arrow.js";
import { lengthText, scoreText, sizeText } from "../lib/numbers.js";
import { extent, placed, rulerLabel, scrollAxis, windowFor } from "./geometry.js";
import { Pages } from "./pages.js";
import { paint, rowHeight, RULER } from "./paint.js";
import { letterAt, shortName, textBetween } from "./record.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("./record.js").Row} Row */
/** @typedef {import("./controls.js").Controls} Controls */
/** @typedef {import("../lib/frame.js").Frame} Frame */

export const WIDTHS = [6, 7, 8, 9, 10, 12, 14, 18];
const THEME = /** @type {const} */ (["bg", "fg", "soft", "line", "panel", "accent", "accent-soft"]);
const MEASURE = "usr-nb:paint";

export class Viewer {
  /** @param {Frame} frame @param {Controls} controls */
  constructor(frame, controls) {
    this.frame = frame;
    this.controls = controls;
    this.canvas = el("canvas", { "aria-hidden": "true", "data-testid": "canvas" });
    this.space = el("div", { class: "seq-space" });
    this.scroller = el("div", {
      class: "seq-scroll", tabindex: 0, role: "application", "data-testid": "scroll",
      "aria-label": "Sequences. Arrow keys move, question mark lists the keys.",
    }, this.space);
    this.tip = el("div", { class: "seq-tip", role: "tooltip", "data-testid": "tip", hidden: true });
    this.empty = el("div", { class: "seq-empty", "data-testid": "empty", hidden: true }, "There are no records to show.");
    this.element = el("div", { class: "seq-view" }, this.canvas, this.scroller, this.empty, this.tip);
    this.letters = el("div", { class: "usr-nb-offscreen", "data-testid": "row-letters" });
    this.where = el("span", { "data-testid": "where" });
    this.fetched = el("span", { "data-testid": "fetched" });
    this.pages = new Pages();
    this.seen = /** @type {Set<string>} */ (new Set());
    this.total = 0;
    this.maxLength = 1;
    this.top = 0;
    this.left = 0;
    this.zoom = WIDTHS.indexOf(10);
    this.turned = false;
    this.record = "";
    /** @type {[number, number]} where the selection began, and its moving end */
    this.selection = [0, 0];
    /** @type {{ row: number, coordinate: number } | null} */
    this.hover = null;
    /** @type {{ clientX: number, clientY: number } | null} */
    this.pointer = null;
    this.painting = false;
    this.failed = "";
    this.asked = "";
    /** @type {number | null} when the page that is not yet painted came */
    this.arrived = null;
    /** @type {{ x: number, y: number } | null} */
    this.expected = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.telling = undefined;
    frame.scope.onClose(() => clearTimeout(this.telling));
    const observer = new ResizeObserver(() => this.refresh());
    observer.observe(this.element);
    frame.scope.onClose(() => observer.disconnect());
  }

  // What is visible ---------------------------------------------------------------------------

  get look() {
    return this.controls.look(this.record);
  }

  get width() {
    return this.element.clientWidth;
  }

  get height() {
    return this.element.clientHeight;
  }

  get gutter() {
    return this.width < 620 ? 92 : 220;
  }

  get charWidth() {
    return WIDTHS[this.zoom] ?? 10;
  }

  get shape() {
    return { features: this.look.features !== "" && !this.controls.featuresLabel.hidden, track: this.controls.scale() };
  }

  get visibleRows() {
    return (this.scroller.clientHeight - RULER) / rowHeight(this.shape);
  }

  get visibleLetters() {
    return Math.max(1, (this.scroller.clientWidth - this.gutter) / this.charWidth);
  }

  get range() {
    return extent(this.look.align, this.maxLength);
  }

  axes() {
    const [x0, x1] = this.range;
    return {
      rows: scrollAxis({ units: this.total, visible: this.visibleRows, unit: rowHeight(this.shape), view: this.scroller.clientHeight }),
      letters: scrollAxis({ units: x1 - x0, visible: this.visibleLetters, unit: this.charWidth, view: this.scroller.clientWidth }),
    };
  }

  /** The key under which pages are kept: everything that changes what the kernel sends. */
  get lookKey() {
    return JSON.stringify([this.look, this.turned]);
  }

  // Moving ------------------------------------------------------------------------------------

  /** @param {{ top?: number, left?: number }} to */
  moveTo({ top = this.top, left = this.left }) {
    const [x0, x1] = this.range;
    this.top = Math.max(0, Math.min(top, this.total - this.visibleRows));
    this.left = Math.max(x0, Math.min(left, x1 - this.visibleLetters));
    this.refresh();
  }

  /** The bars were dragged. */
  scrolled() {
    const { scrollTop: y, scrollLeft: x } = this.scroller;
    if (this.expected && Math.abs(this.expected.x - x) < 1 && Math.abs(this.expected.y - y) < 1) return;
    const axes = this.axes();
    this.expected = { x, y };
    this.top = axes.rows.toUnit(y);
    this.left = this.range[0] + axes.letters.toUnit(x);
    this.draw();
    this.fetch();
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    if (event.ctrlKey) return;
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? this.height : 1;
    const sideways = event.shiftKey && event.deltaX === 0;
    const dx = (sideways ? event.deltaY : event.deltaX) * unit;
    const dy = (sideways ? 0 : event.deltaY) * unit;
    const before = [this.top, this.left];
    this.moveTo({ top: this.top + dy / rowHeight(this.shape), left: this.left + dx / this.charWidth });
    // At its end the page below scrolls on.
    if (before[0] !== this.top || before[1] !== this.left) event.preventDefault();
  }

  /** @param {number} at @param {boolean} [extend] */
  select(at, extend = false) {
    if (this.total === 0) return;
    const to = Math.max(0, Math.min(at, this.total - 1));
    this.selection = extend ? [this.selection[0], to] : [to, to];
    const whole = Math.floor(this.visibleRows);
    let top = this.top;
    if (to < top) top = to;
    else if (to > top + whole - 1) top = to - whole + 1;
    this.moveTo({ top });
  }

  get selected() {
    const [a, b] = this.selection;
    return /** @type {[number, number]} */ ([Math.min(a, b), Math.max(a, b)]);
  }

  /** @param {number} by */
  zoomBy(by) {
    this.zoom = Math.max(0, Math.min(this.zoom + by, WIDTHS.length - 1));
    this.moveTo({});
  }

  /** Where the view starts when rows are aligned anew. */
  home() {
    const { align } = this.look;
    const [x0] = this.range;
    if (align === "end") this.moveTo({ left: 0 - this.visibleLetters });
    else this.moveTo({ left: align === "start" ? x0 : -Math.floor(this.visibleLetters / 2) });
  }

  // Fetching ----------------------------------------------------------------------------------

  /** Fits the bars to what there is, draws, and fetches what is missing. */
  refresh() {
    if (this.element.clientWidth === 0) return;
    const axes = this.axes();
    const [x0] = this.range;
    this.space.style.width = `${axes.letters.size}px`;
    this.space.style.height = `${axes.rows.size}px`;
    this.scroller.scrollTop = axes.rows.toOffset(this.top);
    this.scroller.scrollLeft = axes.letters.toOffset(this.left - x0);
    this.expected = { x: this.scroller.scrollLeft, y: this.scroller.scrollTop };
    this.draw();
    this.fetch();
  }

  /** Asks for the rows and letters that are visible and not here, and some around them. */
  fetch() {
    const key = this.lookKey;
    const [from, to] = this.range;
    const r0 = Math.max(0, Math.floor(this.top));
    const r1 = Math.min(this.total, Math.ceil(this.top + this.visibleRows));
    const x0 = Math.max(from, Math.floor(this.left));
    const x1 = Math.min(to, Math.ceil(this.left + this.visibleLetters));
    const gap = this.pages.gap(key, r0, r1, x0, x1);
    if (gap === null || this.failed === key || r1 <= r0) return;
    const rows = Math.max(1, r1 - r0);
    const around = Math.floor((x1 - x0) / 2);
    const [w0, w1] = [Math.max(from, x0 - around), Math.min(to, x1 + around)];
    const start = gap === r0 ? Math.max(0, r0 - rows) : gap;
    const count = Math.min(limits.PAGE_ROWS, r1 + rows - start, Math.max(1, Math.floor(limits.PAGE_LETTERS / (w1 - w0))));
    const look = this.look;
    const ask = windowFor(look.align, this.turned, w0, w1);
    // The letters first; features and tracks of a large dataset take a moment the first time.
    const extras = this.pages.kept.length > 0 || look.align === "feature" || look.align === "column";
    const args = { ...look, ...ask, start, count, extras };
    const asked = JSON.stringify(args);
    // It is on its way already.
    if (asked === this.asked) return;
    this.asked = asked;
    void this.ask(key, args, [w0, w1]).finally(() => {
      if (this.asked === asked) this.asked = "";
    });
  }

  /** @param {string} key @param {Record<string, unknown>} args @param {[number, number]} window */
  async ask(key, args, [x0, x1]) {
    try {
      const reply = await this.frame.wire.request("page", args);
      if (reply === null) return;
      this.arrived = performance.now();
      this.asked = "";
      const { data, buffers } = reply;
      const rows = /** @type {Row[]} */ (/** @type {unknown} */ (buffers[0] ? rowsOf(buffers[0]) : []));
      this.pages.add({ look: key, start: data.start, rows, x0, x1, whole: data.whole });
      this.total = data.total;
      this.failed = data.count === 0 && data.total > data.start ? key : "";
      for (const row of rows) this.seen.add(row.bio_type);
      this.controls.explain(this.seen);
      this.showSize(buffers[0]?.byteLength ?? 0);
      this.frame.clear();
      // At once: the next frame may be a long way off where the page is busy.
      this.drawNow();
      this.fetch();
    } catch (error) {
      this.failed = key;
      this.frame.fail(error);
    }
  }

  /** @param {number} bytes */
  showSize(bytes) {
    const { dataset } = this.frame.root;
    dataset["largest"] = String(Math.max(Number(dataset["largest"] ?? 0), bytes));
    dataset["pages"] = String(Number(dataset["pages"] ?? 0) + 1);
    this.fetched.textContent = `last page ${sizeText(bytes)}`;
  }

  // Drawing -----------------------------------------------------------------------------------

  draw() {
    if (this.painting || this.frame.scope.signal.aborted) return;
    this.painting = true;
    requestAnimationFrame(() => {
      this.painting = false;
      if (!this.frame.scope.signal.aborted) this.drawNow();
    });
  }

  drawNow() {
    const { canvas, width, height } = this;
    if (width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const style = getComputedStyle(this.frame.root);
    const theme = Object.fromEntries(THEME.map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
    const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const key = this.lookKey;
    const { align } = this.look;
    paint(ctx, {
      width, height, gutter: this.gutter, charWidth: this.charWidth, top: this.top, left: this.left,
      total: this.total, align, turned: this.turned, colours: this.controls.colours, ...this.shape,
      selected: this.selected, hover: this.hover, theme: /** @type {any} */ (theme),
      rowAt: (at) => this.pages.row(key, at),
    }, ratio, style.getPropertyValue("--mono") || "monospace", style.fontFamily);
    this.empty.hidden = this.total > 0;
    this.tellWhere();
    // What lies under a resting mouse is another letter now.
    if (this.pointer !== null) this.point(this.pointer);
    if (this.arrived !== null) {
      performance.measure(MEASURE, { start: this.arrived, end: performance.now() });
      this.arrived = null;
      this.frame.root.dataset["painted"] = String(Number(this.frame.root.dataset["painted"] ?? 0) + 1);
    }
  }

  /** Tells where one is: in the foot, and after a pause to a screen reader. */
  tellWhere() {
    const { align } = this.look;
    const [from, to] = this.range;
    const first = Math.min(this.total, Math.floor(this.top) + 1);
    const last = Math.min(this.total, Math.ceil(this.top + this.visibleRows));
    const x0 = Math.max(from, Math.ceil(this.left));
    const x1 = Math.min(to, Math.floor(this.left + this.visibleLetters));
    const span = x1 > x0 ? `${rulerLabel(align, x0)} to ${rulerLabel(align, x1 - 1)}` : "none";
    this.where.textContent =
      `rows ${first.toLocaleString("en-US")}–${last.toLocaleString("en-US")} of ${this.total.toLocaleString("en-US")}` +
      ` · letters ${span}${this.turned ? " · RC" : ""}`;
    const at = this.selection[1];
    const row = this.pages.row(this.lookKey, at);
    this.frame.root.dataset["selected"] = String(at);
    // Where things are drawn, for whoever points at them from outside: scripts, tests.
    this.frame.root.dataset["geometry"] = JSON.stringify({
      gutter: this.gutter, letter: this.charWidth, row: rowHeight(this.shape), ruler: RULER, top: this.top, left: this.left,
    });
    this.letters.textContent = row === null ? "" : textBetween(row, align, this.turned, x0, x1);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => {
      if (row === null) return;
      const named = row.name === null ? "" : `${row.name}, `;
      this.frame.live.textContent =
        `Row ${(at + 1).toLocaleString("en-US")}: ${named}id ${row.id.slice(0, 8)}, ${lengthText(row.length, row.bio_type)}, ` +
        `letters ${span}${this.turned ? ", reverse complement" : ""}`;
    }, 120);
  }

  // The mouse ---------------------------------------------------------------------------------

  /** @param {{ clientX: number, clientY: number }} event @returns {{ row: number, coordinate: number, gutter: boolean, x: number, y: number } | null} */
  under(event) {
    const box = this.element.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const row = Math.floor(this.top + (y - RULER) / rowHeight(this.shape));
    if (y < RULER || row < 0 || row >= this.total || x > this.scroller.clientWidth || y > this.scroller.clientHeight) return null;
    const coordinate = Math.floor(this.left + (x - this.gutter) / this.charWidth);
    return { row, coordinate, gutter: x < this.gutter, x, y };
  }

  /** @param {{ clientX: number, clientY: number } | null} event */
  point(event) {
    this.pointer = event;
    const at = event === null ? null : this.under(event);
    const text = at === null ? "" : this.describe(at);
    const before = this.hover;
    this.hover = at === null || at.gutter || text === "" ? null : { row: at.row, coordinate: at.coordinate };
    this.tip.hidden = text === "";
    if (at !== null && text !== "") {
      this.tip.textContent = text;
      const { offsetWidth: wide, offsetHeight: tall } = this.tip;
      this.tip.style.left = `${Math.max(4, Math.min(at.x + 14, this.width - wide - 18))}px`;
      this.tip.style.top = `${at.y + 18 + tall > this.height ? at.y - tall - 8 : at.y + 18}px`;
    }
    if (before?.coordinate !== this.hover?.coordinate || before?.row !== this.hover?.row) this.draw();
  }

  /**
   * The column whose value is drawn there: of a feature, of the track, or the letters themselves. Of no place in
   * particular: the first that is shown beside the letters.
   * @param {{ row: number, coordinate: number } | null} at
   */
  columnOf(at) {
    const { features, track, name, align } = this.look;
    if (at === null) return features || track || name || "sequence";
    const row = this.pages.row(this.lookKey, at.row);
    const hit = (row?.features ?? []).some((f) => {
      const { from, to } = placed(f, /** @type {any} */ (row), align, this.turned);
      return at.coordinate >= from && at.coordinate < to;
    });
    return features && hit ? features : track || "sequence";
  }

  /** What a tooltip says. @param {{ row: number, coordinate: number, gutter: boolean }} at */
  describe({ row: at, coordinate, gutter }) {
    const row = this.pages.row(this.lookKey, at);
    if (row === null) return "";
    const { align } = this.look;
    if (gutter)
      return `${row.name === null ? "" : `${row.name}\n`}${row.id}\n${lengthText(row.length, row.bio_type)}, row ${(at + 1).toLocaleString("en-US")}\ndouble-click copies the id`;
    const found = letterAt(row, align, this.turned, coordinate);
    if (found === null) return "";
    const lines = [
      `${shortName(row)}${this.turned ? " (RC)" : ""}`,
      `${found.letter} at ${(found.position + 1).toLocaleString("en-US")} of ${row.length.toLocaleString("en-US")} (0-based ${found.position.toLocaleString("en-US")})`,
    ];
    if (align !== "start" || this.turned) lines.push(`${rulerLabel(align, coordinate)} on the ruler`);
    if (found.other !== null) lines.push(`compared with ${found.other.trim() || "nothing"}`);
    if (found.value !== null) lines.push(`${this.look.track}: ${scoreText(found.value)}`);
    for (const f of [...(this.shape.features ? (row.features ?? []) : []), ...(row.hits ?? [])]) {
      const { from, to, way } = placed(f, row, align, this.turned);
      if (coordinate >= from && coordinate < to)
        lines.push(`${f.label || "feature"} ${f.start + 1}–${f.end}, 0-based [${f.start}, ${f.end})${way < 0 ? " ◂" : way > 0 ? " ▸" : ""}`);
    }
    return lines.join("\n");
  }
}
