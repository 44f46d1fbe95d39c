/** One column of the panel: its histogram or values, its search, and what of it is chosen. */
import { el, Scope } from "../lib/dom.js";
import { grouped } from "../lib/numbers.js";
import { typedRange } from "./brush.js";
import { numberText, typedText, valueText } from "./format.js";
import { Histogram } from "./hist.js";
import { choiceOf, keyOf, noChoice, toggleLack, toggleValue, withChoice } from "./nodes.js";
import { searchForm } from "./search.js";

/** @typedef {import("./nodes.js").Node} Node */
/** @typedef {import("./nodes.js").Feature} Feature */
/** @typedef {import("./nodes.js").Choice} Choice */
/**
 * @typedef {object} Column What the kernel says of a column: analysis.sections.Section.
 * @property {Feature} feature @property {string} name @property {string} group @property {string} title
 * @property {string} type @property {"number" | "time" | "bool" | "text" | "sequence" | "list" | "other"} kind
 * @property {string} label @property {string} unit From columns.yaml, or empty.
 * @property {string | null} items @property {[string, string][]} fields
 */
/**
 * @typedef {object} Facet
 * @property {"number" | "time" | "category" | "many"} kind @property {number} shown @property {boolean} whole
 * @property {number | null} low @property {number | null} high @property {number[] | null} edges
 * @property {string[] | null} times @property {(string | boolean)[] | null} values @property {number} more
 * @property {number[]} rows By slot: bins or values, then below, beyond, null, NaN. @property {number[]} kept
 */
/**
 * @typedef {object} Host What a section asks of the panel.
 * @property {() => Node[]} chips
 * @property {(chips: Node[], done: boolean) => void} edit
 * @property {(section: Section) => void} load
 * @property {(error: unknown) => void} fail
 * @property {Scope} scope
 */

/** @param {string} name @param {string} text @param {string} label */
export const button = (name, text, label) =>
  el("button", { type: "button", "data-testid": name, "aria-label": label, title: label }, text);

const LACKS = /** @type {const} */ ([["null", 2], ["nan", 3]]);

export class Section {
  /** @param {Column} column @param {Host} host */
  constructor(column, host) {
    this.column = column;
    this.host = host;
    /** @type {Facet | null} */
    this.facet = null;
    this.stale = true;
    this.drawn = "";
    this.look = { scale: "linear", view: "all" };
    this.outside = false;
    const { scope } = host;
    this.head = el("button", { type: "button", class: "flt-head", "aria-expanded": "false", "data-testid": "fold" },
      el("span", { class: "flt-name", title: column.name }, column.label || column.title, ...(column.unit ? [el("small", { class: "flt-soft" }, ` ${column.unit}`)] : [])),
      el("span", { class: "flt-type", title: column.type }, column.kind === "sequence" ? "" : column.type));
    this.body = el("div", { class: "flt-body", hidden: true });
    this.root = el("section", { class: "flt-section", "data-testid": `section-${column.name}`, "aria-label": column.name }, this.head, this.body);
    this.parts = this.#parts();
    this.hist = new Histogram({
      feature: () => this.feature(), title: column.title, manner: () => this.manner(), scope,
      brushed: (range, done) => this.#edit({ ...this.choice(), range }, done),
    });
    this.values = el("div", { class: "flt-values", role: "group", "data-testid": "values" });
    this.controls = this.#controls();
    this.lacks = el("div", { class: "flt-values", role: "group", "aria-label": "no value" });
    this.waiting = el("div", { class: "flt-waiting", "data-testid": "waiting" }, "reading …");
    this.charts = el("div", { class: "flt-charts", hidden: true }, this.hist.root, this.controls.root, this.values, this.lacks);
    this.search = (column.kind === "text" && !("computed" in column.feature)) || column.kind === "sequence"
      ? searchForm({ feature: () => this.feature(), title: column.title, motif: column.kind === "sequence", scope,
        found: (node) => host.edit([...host.chips(), node], true), fail: host.fail })
      : null;
    if (column.kind !== "sequence") this.body.append(...this.parts.nodes, this.waiting, this.charts);
    if (this.search) this.body.append(this.search.form);
    scope.listen(this.head, "click", () => this.fold(this.isOpen()));
    scope.listen(this.values, "click", (event) => this.#clicked(event));
    scope.listen(this.lacks, "click", (event) => this.#clicked(event));
  }

  /** What is filtered by: of a list, what was chosen of it. @returns {Feature} */
  feature() {
    return this.parts.feature();
  }

  /** @returns {Choice} */
  choice() {
    return choiceOf(this.host.chips(), keyOf(this.feature())).choice;
  }

  manner() {
    const { feature } = this.column;
    return { kind: this.facet?.kind ?? "", percent: "computed" in feature && feature.computed === "gc", whole: this.facet?.whole ?? false };
  }

  isOpen() {
    return !this.body.hidden;
  }

  /** Whether its counts are to be asked for. */
  isCounted() {
    return this.isOpen() && this.facet !== null && !this.stale;
  }

  /** @param {boolean} shut */
  fold(shut) {
    this.body.hidden = shut;
    this.head.setAttribute("aria-expanded", String(!shut));
    if (!shut && this.stale && this.column.kind !== "sequence") this.host.load(this);
  }

  /** What it shows must be asked for again. */
  forget() {
    this.stale = true;
    if (this.isOpen() && this.column.kind !== "sequence") this.host.load(this);
  }

  /** Its counts are on the way. @param {boolean} on */
  wait(on) {
    this.root.dataset["loading"] = String(on);
  }

  /** @param {Facet} facet */
  show(facet) {
    this.facet = facet;
    this.stale = false;
    this.waiting.hidden = true;
    this.charts.hidden = false;
    const drawn = facet.edges !== null;
    this.hist.root.hidden = this.controls.root.hidden = !drawn;
    if (drawn) this.hist.show(/** @type {any} */ (facet));
    this.root.dataset["kind"] = facet.kind;
    this.count(facet.rows, facet.kept);
  }

  /** @param {number[]} rows @param {number[]} kept */
  count(rows, kept) {
    if (this.facet === null) return;
    this.facet = { ...this.facet, rows, kept };
    if (this.facet.edges) this.hist.count(rows, kept);
    this.sync();
  }

  /** Shows what the chips say. */
  sync() {
    const choice = this.choice();
    const chosen = JSON.stringify(choice) !== JSON.stringify(noChoice()) || choiceOf(this.host.chips(), keyOf(this.feature())).others.length > 0;
    this.root.dataset["chosen"] = String(chosen);
    const { facet } = this;
    if (facet === null) return;
    if (choice.range) this.outside = choice.range.outside;
    this.hist.mark(choice.range, this.outside);
    this.controls.sync(choice);
    // Most counts leave most values alone; drawing them anew costs more than looking.
    const now = JSON.stringify([choice, facet.values, facet.rows, facet.kept]);
    if (now === this.drawn && facet.edges === null) return;
    this.drawn = now;
    const slot = (/** @type {number} */ i) => ({ rows: facet.rows[i] ?? 0, kept: facet.kept[i] ?? 0 });
    const most = Math.max(1, ...(facet.values ? facet.rows.slice(0, facet.shown) : [1]));
    const refocus = focusKeeper(this.root);
    this.values.replaceChildren(...(facet.values ?? []).map((value, i) =>
      valueChip(valueText(value), { value }, slot(i), most, choice.values.includes(value), choice.without.includes(value))));
    if (facet.more > 0) this.values.append(el("span", { class: "flt-soft", "data-testid": "more" }, `and ${grouped(facet.more)} more: search them below`));
    if (facet.kind === "many") this.values.append(el("span", { class: "flt-soft" }, `${grouped(facet.kept[0] ?? 0)} of ${grouped(facet.rows[0] ?? 0)} have one of many values: search them below`));
    this.lacks.replaceChildren(...LACKS.filter(([kind, i]) => slot(facet.shown + i).rows > 0 || choice.lacks.includes(kind) || choice.notLacks.includes(kind)).map(([kind, i]) =>
      valueChip(kind === "null" ? "null" : "NaN", { lack: kind }, slot(facet.shown + i), 0, choice.lacks.includes(kind), choice.notLacks.includes(kind))));
    refocus();
  }

  /** @param {Choice} choice @param {boolean} done */
  #edit(choice, done) {
    this.host.edit(withChoice(this.host.chips(), this.feature(), choice), done);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const pressed = /** @type {HTMLElement} */ (event.target).closest("button");
    const chip = /** @type {HTMLElement | null} */ (pressed?.closest("[data-place]") ?? null);
    if (!pressed || !chip) return;
    const out = pressed.classList.contains("flt-out");
    /** @type {{ value?: string | boolean, lack?: "null" | "nan" }} */
    const what = JSON.parse(chip.dataset["place"] ?? "{}");
    if (what.lack) this.#edit(toggleLack(this.choice(), what.lack, out), true);
    else if (what.value !== undefined) this.#edit(toggleValue(this.choice(), what.value, out), true);
  }

  // Of a list: what of it is compared. --------------------------------------------------------------

  #parts() {
    const { column, host } = this;
    const of = column.feature;
    if (column.kind !== "list" || "computed" in of) return { nodes: [], feature: () => of };
    const options = [["len", "number of items"]];
    if (column.items === "number") options.push(["min", "least item"], ["max", "greatest item"], ["mean", "mean of items"]);
    if (["number", "text", "bool", "time"].includes(column.items ?? "")) options.push(["item", "item number …"]);
    for (const [name, kind] of column.fields) if (["number", "text", "bool", "time"].includes(kind)) options.push([`field ${name}`, `item number …, its ${name}`]);
    const which = el("select", { "aria-label": `${column.title}: what of the list`, "data-testid": "reducer" },
      ...options.map(([value, text]) => el("option", { value: value ?? "" }, text ?? "")));
    const item = el("input", { type: "number", value: 0, step: 1, "data-testid": "item", "aria-label": "Which item, counted from 0; -1 is the last" });
    const place = el("label", { hidden: true, title: "Counted from 0; −1 is the last" }, "item", item);
    const feature = () => {
      const chosen = which.value;
      if (chosen === "item") return { column: of.column, path: [...of.path, Math.trunc(Number(item.value))], reducer: null };
      if (chosen.startsWith("field ")) return { column: of.column, path: [...of.path, Math.trunc(Number(item.value)), chosen.slice(6)], reducer: null };
      return { column: of.column, path: of.path, reducer: chosen };
    };
    const changed = () => {
      place.hidden = !/^(item|field )/.test(which.value);
      this.stale = true;
      host.load(this);
    };
    host.scope.listen(which, "change", changed);
    host.scope.listen(item, "change", changed);
    return { nodes: [el("div", { class: "flt-part" }, which, place)], feature };
  }

  // Under a histogram: what is seen of it, and its ends to type. -------------------------------------

  #controls() {
    const { host } = this;
    const { scope } = host;
    const log = button("log", "log x", "Logarithmic axis");
    const core = button("core", "1–99 %", "Show the middle 98 % of the values");
    const outside = button("outside", "outside", "Keep what lies outside of the range");
    const clear = button("clear-range", "×", "Take the range away");
    const low = el("input", { type: "text", size: 8, "data-testid": "low", "aria-label": `${this.column.title}: at least`, placeholder: "min" });
    const high = el("input", { type: "text", size: 8, "data-testid": "high", "aria-label": `${this.column.title}: at most`, placeholder: "max" });
    const ends = el("div", { class: "flt-ends", "data-testid": "ends" });
    const root = el("div", { class: "flt-controls" }, ends, el("div", { class: "flt-range" }, low, "–", high, outside, clear, log, core));
    const look = (/** @type {{ scale?: string, view?: string }} */ change) => {
      this.look = { ...this.look, ...change };
      host.load(this);
    };
    scope.listen(log, "click", () => look({ scale: this.look.scale === "log" ? "linear" : "log" }));
    scope.listen(core, "click", () => look({ view: this.look.view === "core" ? "all" : "core" }));
    scope.listen(clear, "click", () => this.#edit({ ...this.choice(), range: null }, true));
    scope.listen(outside, "click", () => {
      this.outside = !this.outside;
      const choice = this.choice();
      outside.setAttribute("aria-pressed", String(this.outside));
      if (choice.range && choice.range.low !== null && choice.range.high !== null) this.#edit({ ...choice, range: { ...choice.range, outside: this.outside } }, true);
      else this.hist.mark(choice.range, this.outside);
    });
    const typed = () => {
      try {
        const how = { time: this.facet?.kind === "time", percent: this.manner().percent };
        const range = typedRange(this.feature(), low.value, high.value, how);
        const both = range !== null && range.low !== null && range.high !== null;
        this.#edit({ ...this.choice(), range: range && { ...range, outside: both && this.outside } }, true);
      } catch (error) {
        host.fail(error);
      }
    };
    for (const input of [low, high]) scope.listen(input, "change", typed);
    scope.listen(ends, "click", (event) => {
      if (event.target instanceof HTMLButtonElement) look({ view: "all", scale: "linear" });
    });
    return {
      root,
      /** @param {Choice} choice */
      sync: (choice) => {
        const { facet } = this;
        if (facet?.edges == null) return;
        const how = this.manner();
        const focused = /** @type {Document | ShadowRoot} */ (root.getRootNode()).activeElement;
        const { range } = choice;
        if (focused !== low) low.value = typedText(range?.low ?? null, how.percent);
        if (focused !== high) high.value = typedText(range?.high ?? null, how.percent);
        log.hidden = facet.kind === "time";
        log.setAttribute("aria-pressed", String(this.look.scale === "log"));
        core.setAttribute("aria-pressed", String(this.look.view === "core"));
        outside.setAttribute("aria-pressed", String(this.outside));
        outside.disabled = range !== null && (range.low === null || range.high === null);
        clear.hidden = range === null;
        const below = facet.rows[facet.shown] ?? 0;
        const beyond = facet.rows[facet.shown + 1] ?? 0;
        const first = facet.edges[0] ?? 0;
        const last = how.whole && facet.kind === "number" ? (facet.edges.at(-1) ?? 0) - 1 : facet.edges.at(-1) ?? 0;
        ends.replaceChildren(
          el("span", {}, numberText(first, how)),
          ...(below ? [button("below", `← ${grouped(below)} below`, "Show all values")] : []),
          el("span", { class: "flt-gap", "data-testid": "zoom" }, this.hist.zoom > 1 ? `blue × ${grouped(this.hist.zoom)}` : ""),
          ...(beyond ? [button("beyond", `${grouped(beyond)} beyond →`, "Show all values")] : []),
          el("span", {}, numberText(last, how)));
      },
    };
  }
}

/**
 * Values are drawn anew with each count: whoever is on one with the keyboard stays there.
 * @param {HTMLElement} root
 * @returns {() => void}
 */
function focusKeeper(root) {
  const focused = /** @type {Document | ShadowRoot} */ (root.getRootNode()).activeElement;
  const place = focused?.closest("[data-place]");
  if (!(place instanceof HTMLElement) || !root.contains(place)) return () => {};
  const name = focused?.classList.contains("flt-out") ? ".flt-out" : ".flt-in";
  return () => {
    for (const other of root.querySelectorAll("[data-place]"))
      if (other instanceof HTMLElement && other.dataset["place"] === place.dataset["place"])
        /** @type {HTMLElement | null} */ (other.querySelector(name))?.focus({ preventScroll: true });
  };
}

/**
 * A value with its counts: pressed, only it (and others so chosen) is let in; its minus keeps it out.
 * @param {string} text
 * @param {object} place
 * @param {{ rows: number, kept: number }} counts
 * @param {number} most
 * @param {boolean} isIn
 * @param {boolean} isOut
 */
function valueChip(text, place, counts, most, isIn, isOut) {
  const into = el("button", { type: "button", class: "flt-in", "data-testid": "in", "aria-pressed": String(isIn), "aria-label": `Only ${text}: ${grouped(counts.kept)} of ${grouped(counts.rows)}` },
    el("span", { class: "flt-word" }, text), el("span", { class: "flt-count", "data-testid": "kept" }, grouped(counts.kept)),
    el("span", { class: "flt-soft", "data-testid": "rows" }, counts.kept === counts.rows ? "" : `of ${grouped(counts.rows)}`));
  into.title = text;
  const out = el("button", { type: "button", class: "flt-out", "data-testid": "out", "aria-pressed": String(isOut), "aria-label": `Without ${text}`, title: `Without ${text}` }, "−");
  const chip = el("span", { class: "flt-value", "data-testid": "value", "data-text": text, "data-place": JSON.stringify(place) }, into, out);
  if (most > 0) chip.style.setProperty("--share", `${(100 * counts.kept) / most}%`);
  return chip;
}
