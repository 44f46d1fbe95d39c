/** The panel *describe*: what is in every column, all records beside those that a filter keeps. */
import "../lib/base.css";
import "./describe.css";
import { copyText, el, Scope, setOptions } from "../lib/dom.js";
import { makeFrame, ready, whileVisible } from "../lib/frame.js";
import { grouped } from "../lib/numbers.js";
import { details, fillLine } from "./rows.js";
import { sequenceCards } from "./sequences.js";
import { ago, byNamespace, fitting, ordered, partOf } from "./words.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("../lib/wire.js").Model & { set: (name: string, value: any) => void, save_changes: () => void }} Model */
/** @typedef {import("./words.js").Column} Column */
/** @typedef {import("./words.js").Entry} Entry */
/**
 * @typedef {{ name: string, owner: string, description: string, columns: number, covered: number, covered_kept: number | null,
 *   parts: number, written_at: string | null, who: string, host: string }} Space
 * @typedef {{ rows: number, kept: number | null, columns: number, namespaces: Space[], sequences: import("./sequences.js").Sequences | null,
 *   sequences_kept: import("./sequences.js").Sequences | null, python: string }} Made
 */

/** So many columns are shown unfolded. */
const OPEN = 60;

/** @param {string} name @param {string} text @param {string} label */
const button = (name, text, label) => el("button", { type: "button", "data-testid": name, title: label, "aria-label": label }, text);

/** @param {{ model: Model, el: HTMLElement }} host */
function render(host) {
  const frame = makeFrame(host, {
    name: "describe", label: "Describe",
    onNotice: (_what, data) => void load(data?.why === "filter" ? "Another filter." : "The dataset changed; this is its present state."),
  });
  const { scope, wire } = frame;
  const title = el("span", { class: "usr-nb-title" });
  const search = el("input", { type: "search", "data-testid": "search", placeholder: "column, type, unit", maxlength: 200, "aria-label": "Search columns" });
  const order = el("select", { "data-testid": "order", "aria-label": "Order of columns" });
  setOptions(order, [{ value: "dataset", text: "as in the dataset" }, { value: "name", text: "A–Z" },
    { value: "nulls", text: "most nulls first" }, { value: "nulls-low", text: "fewest nulls first" }]);
  const fold = button("fold", "fold all", "Fold or unfold all namespaces");
  const copies = /** @type {const} */ (["python", "csv", "markdown"]).map((form) =>
    button(`copy-${form}`, { python: "Python", csv: "CSV", markdown: "Markdown" }[form], `Copy as ${{ python: "a line of Python", csv: "CSV", markdown: "a Markdown table" }[form]}`));
  const filled = el("span");
  const progress = el("div", { class: "desc-progress", role: "progressbar", "aria-label": "Reading", "aria-valuemin": 0, "aria-valuemax": 100, hidden: true }, filled);
  const list = el("div", { class: "desc-list", "data-testid": "list" });
  const empty = el("div", { class: "desc-empty", "data-testid": "empty", hidden: true }, "No column fits.");
  const tip = el("span", { "data-testid": "bin" });
  const said = el("span", { "data-testid": "said", role: "status" });
  frame.body.classList.add("desc-body");
  frame.body.append(
    el("div", { class: "usr-nb-bar", role: "toolbar", "aria-label": "Columns" }, title, el("label", {}, "search", search),
      el("label", {}, "order", order), fold, el("label", {}, "copy"), ...copies),
    progress, list, empty, el("div", { class: "usr-nb-foot" }, said, tip),
  );

  let version = "";
  /** The load that counts: an older one stops where it is. */
  let turn = 0;
  /** @type {Made | null} */
  let made = null;
  /** @type {Entry[]} */
  let entries = [];
  /** @type {Map<number, Column>} */
  const known = new Map();
  /** @type {Set<string>} */
  const folded = new Set();
  /** @type {Set<number>} */
  const open = new Set();
  let where = "", dataset = "";
  /** Listeners of what is drawn; they go when it is drawn anew. */
  let drawn = new Scope();
  scope.onClose(() => drawn.close());

  /** @param {string} why */
  async function load(why) {
    const mine = ++turn;
    try {
      const begun = await wire.request("start");
      if (begun === null || mine !== turn) return;
      version = begun.data.version;
      [dataset, where] = [begun.data.dataset, begun.data.where ?? ""];
      ready(frame);
      if (made === null) title.replaceChildren(dataset);
      const found = await work(mine);
      if (found === null) return;
      const listed = await readIndex(found.columns, mine);
      if (listed === null) return;
      const first = made === null;
      [made, entries] = [found, listed];
      known.clear();
      open.clear();
      if (first && entries.length > OPEN) for (const entry of entries) folded.add(entry.namespace);
      frame.clear();
      said.textContent = why;
      draw();
      frame.root.dataset["made"] = String(Number(frame.root.dataset["made"] ?? 0) + 1);
    } catch (error) {
      if (mine !== turn) return;
      progress.hidden = true;
      frame.fail(error);
    }
  }

  /** Asks for a little work at a time, until all is read. @param {number} mine @returns {Promise<Made | null>} */
  async function work(mine) {
    for (;;) {
      const reply = await wire.request("step");
      if (reply === null || mine !== turn) return null;
      if (reply.data.ready) {
        progress.hidden = true;
        return /** @type {Made} */ (reply.data);
      }
      const { done, total } = reply.data;
      const percent = total > 0 ? Math.round((100 * done) / total) : 0;
      progress.hidden = false;
      progress.setAttribute("aria-valuenow", String(percent));
      filled.style.width = `${percent}%`;
      said.textContent = total > 0 ? `reading ${partOf(done, total)}` : "reading";
    }
  }

  /** @param {number} many @param {number} mine @returns {Promise<Entry[] | null>} */
  async function readIndex(many, mine) {
    /** @type {Entry[]} */
    const found = [];
    while (found.length < many) {
      const reply = await wire.request("index", { start: found.length, count: limits.INDEX_PAGE });
      if (reply === null || mine !== turn) return null;
      if (reply.data.columns.length === 0) break;
      found.push(...reply.data.columns);
    }
    return found;
  }

  const place = () => ({ tell: (/** @type {string} */ text) => { tip.textContent = text; }, signal: drawn.signal });

  function draw() {
    if (made === null) return;
    drawn.close();
    drawn = new Scope();
    const count = made.kept === null ? `all ${grouped(made.rows)} records, exact` : `${partOf(made.kept, made.rows)} records, exact`;
    title.replaceChildren(dataset, el("small", { "data-testid": "records" }, count));
    if (where) title.append(el("small", { class: "kept", "data-testid": "where", title: where }, where.length > 80 ? `${where.slice(0, 79)}…` : where));
    const places = ordered(entries, fitting(entries, search.value), /** @type {import("./words.js").Order} */ (order.value));
    const searching = search.value.trim() !== "";
    empty.hidden = places.length > 0;
    const parts = [];
    if (made.sequences && !searching) parts.push(sequenceCards(made.sequences, made.sequences_kept, { ...place(), choose }));
    /** @type {[number, HTMLElement][]} */
    const lines = [];
    for (const [namespace, group] of byNamespace(entries, places)) {
      const shut = folded.has(namespace) && !searching;
      const rows = el("ul", { class: "desc-lines", hidden: shut, "aria-label": namespace || "essential columns" });
      if (!shut) for (const i of group) {
        const line = makeLine(i);
        rows.append(line);
        lines.push([i, line]);
      }
      parts.push(header(namespace, group.length, shut), rows);
    }
    list.replaceChildren(...parts);
    frame.root.dataset["shown"] = String(lines.length);
    void fill(lines, turn);
  }

  /** @param {string} namespace @param {number} columns @param {boolean} shut */
  function header(namespace, columns, shut) {
    const space = made?.namespaces.find((s) => s.name === namespace);
    const head = el("button", { type: "button", class: "desc-space", "data-testid": `space-${namespace || "base"}`, "aria-expanded": !shut ? "true" : "false" },
      el("span", { "aria-hidden": "true" }, shut ? "▸" : "▾"), el("b", {}, namespace || "essential"), el("span", {}, `${grouped(columns)} ${columns === 1 ? "column" : "columns"}`));
    if (space && made) {
      const some = space.covered_kept === null || made.kept === null ? [] : [el("span", { class: "kept" }, partOf(space.covered_kept, made.kept))];
      head.append(el("span", { "data-testid": "covered" }, `values for ${partOf(space.covered, made.rows)}`), ...some);
      if (space.owner) head.append(el("span", {}, `owner ${space.owner}`));
      if (space.written_at) {
        const parts = `${grouped(space.parts)} ${space.parts === 1 ? "part" : "parts"}`;
        head.append(el("span", { "data-testid": "written", title: `${space.written_at} (UTC)${space.host ? ` on ${space.host}` : ""}` },
          `written ${ago(space.written_at, Date.now())}${space.who ? ` by ${space.who}` : ""} (${parts})`));
      }
      if (space.description) head.append(el("span", {}, space.description));
    }
    drawn.listen(head, "click", () => {
      if (folded.has(namespace)) folded.delete(namespace);
      else folded.add(namespace);
      draw();
      const again = /** @type {HTMLElement | null} */ (list.querySelector(`[data-testid="space-${namespace || "base"}"]`));
      again?.focus();
    });
    return head;
  }

  /** @param {number} i */
  function makeLine(i) {
    const entry = /** @type {Entry} */ (entries[i]);
    const line = el("li", { class: "desc-line", tabindex: 0, "data-testid": "column", "data-column": entry.name, "aria-expanded": open.has(i) ? "true" : "false" },
      el("span", { class: "desc-name" }, entry.name));
    drawn.listen(line, "click", () => void toggle(i, line).catch(frame.fail));
    drawn.listen(line, "keydown", (event) => {
      if (event.target !== line) return;
      const step = event.key === "ArrowDown" || event.key === "j" ? 1 : event.key === "ArrowUp" || event.key === "k" ? -1 : 0;
      if (step !== 0) {
        const all = [...list.querySelectorAll(".desc-line")];
        const next = all[all.indexOf(line) + step];
        if (next instanceof HTMLElement) next.focus();
      } else if (event.key === "Enter" || event.key === " ") line.click();
      else if (event.key === "/") search.focus();
      else return;
      event.preventDefault();
    });
    return line;
  }

  /** Fills lines, some columns at a time; what was asked for before is known. @param {[number, HTMLElement][]} lines @param {number} mine */
  async function fill(lines, mine) {
    const here = drawn;
    const show = (/** @type {[number, HTMLElement]} */ [i, line]) => {
      const [entry, column] = [entries[i], known.get(i)];
      if (entry && column) fillLine(line, entry, column, place());
    };
    try {
      for (const line of lines) show(line);
      const lacking = lines.filter(([i]) => !known.has(i));
      for (let at = 0; at < lacking.length; at += limits.COLUMNS_PAGE) {
        const some = lacking.slice(at, at + limits.COLUMNS_PAGE);
        const reply = await wire.request("columns", { at: some.map(([i]) => i).join(",") });
        if (reply === null || mine !== turn) return;
        for (const [i, column] of Object.entries(reply.data.columns)) known.set(Number(i), /** @type {Column} */ (column));
        if (here !== drawn) return;
        for (const line of some) show(line);
      }
      for (const [i, line] of lines) if (open.has(i)) await expand(i, line);
      frame.root.dataset["filled"] = String(lines.length);
    } catch (error) {
      frame.fail(error);
    }
  }

  /** @param {number} i @param {HTMLElement} line */
  async function toggle(i, line) {
    if (open.delete(i)) {
      line.setAttribute("aria-expanded", "false");
      if (line.nextElementSibling?.classList.contains("desc-more")) line.nextElementSibling.remove();
      return;
    }
    open.add(i);
    line.setAttribute("aria-expanded", "true");
    await expand(i, line);
  }

  /** @param {number} i @param {HTMLElement} line */
  async function expand(i, line) {
    const reply = await wire.request("column", { at: i });
    if (reply === null || !open.has(i) || line.nextElementSibling?.classList.contains("desc-more")) return;
    line.after(el("li", { class: "desc-more" }, details(/** @type {Column} */ (reply.data.column), place())));
  }

  /** @param {string} text @param {string} what */
  async function copy(text, what) {
    said.textContent = (await copyText(text, frame.root)) ? `Copied ${what}` : "The browser refused the clipboard.";
  }

  /** @param {string} kind */
  function choose(kind) {
    void (async () => {
      const reply = await wire.request("choose", { kind });
      if (reply === null) return;
      await copy(reply.data.python, `the filter as Python${reply.data.cut ? ", cut" : ""}`);
      // One small trait per gesture: what depends on this panel runs once.
      host.model.set("chosen", Number(host.model.get("chosen") ?? 0) + 1);
      host.model.save_changes();
    })().catch(frame.fail);
  }

  scope.listen(search, "input", draw);
  scope.listen(order, "change", draw);
  scope.listen(search, "keydown", (event) => {
    if (event.key !== "Escape") return;
    search.value = "";
    draw();
  });
  scope.listen(fold, "click", () => {
    const names = new Set(entries.map((e) => e.namespace));
    const shut = [...names].every((n) => folded.has(n));
    folded.clear();
    if (!shut) for (const name of names) folded.add(name);
    fold.textContent = shut ? "fold all" : "unfold all";
    draw();
  });
  copies.forEach((one, i) => {
    const form = ["python", "csv", "markdown"][i] ?? "python";
    scope.listen(one, "click", () => void (async () => {
      const reply = await wire.request("copy", { form });
      if (reply !== null) await copy(reply.data.text, `as ${one.textContent}`);
    })().catch(frame.fail));
  });
  whileVisible(frame, limits.LOOK_MS, async () => {
    if (version === "") return;
    const asked = version;
    const reply = await wire.request("look", { version: asked });
    if (reply?.data.changed && asked === version) await load("The dataset changed; this is its present state.");
  });
  void load("");
  return () => scope.close();
}

export default { render };
