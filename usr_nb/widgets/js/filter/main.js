/** The panel *filter*: brush, choose and search; see how much is left; hand the filter on. */
import "../lib/base.css";
import "./filter.css";
import { copyText, el } from "../lib/dom.js";
import { makeFrame, ready, whileVisible } from "../lib/frame.js";
import { grouped } from "../lib/numbers.js";
import { sharedText } from "./format.js";
import { chipsOf, filterText, keyOf } from "./nodes.js";
import { Past } from "./past.js";
import { savedFilters } from "./saved.js";
import { button, Section } from "./section.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("../lib/wire.js").Model} Model */
/** @typedef {import("./nodes.js").Node} Node */
/** @typedef {import("./past.js").State} State */
/** @typedef {{ filter: string, hash: string, count: number, total: number, deleted: boolean }} Commit */
/**
 * @typedef {{ total: number, count: number, strictest: number | null, line: string, python: string, commit: Commit,
 *   chips: { line: string, alone: number, without: number }[], facets: { rows: number[], kept: number[] }[] }} Counted
 * @typedef {{ dataset: string, version: string, rows: number, deleted: number, sections: import("./section.js").Column[],
 *   saved: import("./saved.js").Saved[] | null, commit: Commit }} Overview
 */

/** Groups that are open to begin with; namespaces are folded. */
const OPEN = ["sequence", "state"];
const TITLES = { sequence: "Sequence", state: "Record state", record: "Record" };

/** @param {{ model: Model, el: HTMLElement }} host */
function render(host) {
  const frame = makeFrame(host, { name: "filter", label: "Filter", onNotice: (what, data) => void noticed(what, data) });
  const { scope, wire } = frame;
  const title = el("span", { class: "usr-nb-title" });
  const count = el("span", { class: "flt-count-all", "data-testid": "count", role: "status" });
  const undo = button("undo", "↶ undo", "Undo (Ctrl+Z)");
  const redo = button("redo", "↷ redo", "Redo (Ctrl+Shift+Z)");
  const clear = button("clear", "clear", "Take all tests away");
  const deleted = el("input", { type: "checkbox", "data-testid": "deleted" });
  const deletedText = el("span", { "data-testid": "deleted-count" });
  const line = el("input", { type: "text", class: "flt-line", "data-testid": "line", "aria-label": "The filter as a line, as --where takes it", spellcheck: "false", maxlength: limits.FILTER_LENGTH });
  const copyLine = button("copy-line", "copy line", "Copy the line, for --where or parse_filter");
  const copyPython = button("copy-python", "copy as Python", "Copy the filter as Python; it needs only F");
  const hash = button("hash", "", "The filter's hash; press to copy it whole");
  const chipRow = el("ul", { class: "flt-chips", "data-testid": "chips", "aria-label": "Active tests" });
  const nothing = el("div", { class: "usr-nb-notice note", role: "status", hidden: true, "data-testid": "nothing" });
  const find = el("input", { type: "search", "data-testid": "column-search", "aria-label": "Find a column", placeholder: "find a column", maxlength: 100 });
  const groups = el("div", { class: "flt-groups", "data-testid": "groups" });
  const saved = savedFilters({ frame, filter: () => filterText(past.now.chips), loaded: (text) => edit(chipsOf(text), true) });
  frame.body.classList.add("flt-all");
  frame.body.append(
    el("div", { class: "usr-nb-bar" }, title, count, undo, redo, clear),
    chipRow, nothing,
    el("div", { class: "flt-row" }, line, copyLine, copyPython, hash),
    el("div", { class: "flt-row" }, find, el("label", { class: "flt-deleted" }, deleted, "count deleted records", deletedText), saved.root),
    saved.question, groups,
  );

  const born = performance.now();
  /** @type {Overview | null} */
  let there = null;
  let past = new Past({ chips: [], deleted: false });
  /** What was asked for last and is not yet counted. @type {State | null} */
  let asked = null;
  /** @type {Counted | null} */
  let last = null;
  /** @type {Section[]} */
  let sections = [];
  const state = () => asked ?? past.now;
  const sectionHost = {
    chips: () => state().chips, edit, load: (/** @type {Section} */ s) => queue(s), fail: frame.fail, scope,
  };

  // What there is -----------------------------------------------------------------------------------

  async function open() {
    try {
      const reply = await wire.request("overview");
      if (reply === null) return;
      const first = there === null;
      const before = JSON.stringify(there?.sections);
      there = /** @type {Overview} */ (reply.data);
      title.textContent = there.dataset;
      deletedText.textContent = `(${grouped(there.deleted)})`;
      deleted.closest("label")?.toggleAttribute("hidden", there.deleted === 0 && !state().deleted);
      // A table in memory keeps none.
      saved.root.hidden = there.saved === null;
      saved.show(there.saved ?? []);
      if (first) past = new Past({ chips: chipsOf(there.commit.filter), deleted: there.commit.deleted });
      if (before !== JSON.stringify(there.sections)) build(there.sections);
      else for (const section of sections) section.forget();
      await refresh();
    } catch (error) {
      frame.fail(error);
    }
  }

  /** @param {import("./section.js").Column[]} columns */
  function build(columns) {
    const opened = new Set(sections.filter((s) => s.isOpen()).map((s) => s.column.name));
    const unfolded = new Set([...groups.querySelectorAll("details[open]")].map((d) => /** @type {HTMLElement} */ (d).dataset["group"]));
    const first = sections.length === 0;
    sections = columns.map((column) => new Section(column, sectionHost));
    groups.replaceChildren();
    for (const group of new Set(columns.map((c) => c.group))) {
      const mine = sections.filter((s) => s.column.group === group);
      const text = TITLES[/** @type {keyof typeof TITLES} */ (group)] ?? group;
      const open = first ? OPEN.includes(group) : unfolded.has(group);
      groups.append(el("details", { class: "flt-group", open, "data-group": group, "data-testid": `group-${group}` },
        el("summary", {}, text, el("span", { class: "flt-type" }, `${mine.length}`)),
        el("div", { class: "flt-grid" }, ...mine.map((s) => s.root))));
    }
    for (const section of sections) {
      const begin = first && (section.column.group === "sequence" || ["qc_status", "masked"].includes(section.column.name));
      if (begin || opened.has(section.column.name)) section.fold(false);
    }
  }

  // Reading columns, one after another, the first ones first ------------------------------------------

  /** @type {Section[]} */
  let waiting = [];
  let reading = false;

  /** @param {Section} section */
  function queue(section) {
    if (!waiting.includes(section)) waiting.push(section);
    section.wait(true);
    if (!reading) void read();
  }

  async function read() {
    reading = true;
    while (waiting.length > 0) {
      const section = waiting.shift();
      if (section === undefined || !sections.includes(section)) continue;
      try {
        const feature = section.feature();
        const reply = await wire.request("facet", { feature: JSON.stringify(feature), ...section.look, ...which(state()) });
        if (reply === null) break;
        // Another part of the list may have been chosen meanwhile; then it is asked for again.
        if (keyOf(feature) === keyOf(section.feature())) section.show(reply.data);
      } catch (error) {
        section.fold(true);
        frame.fail(error);
      }
      section.wait(waiting.includes(section));
      if (!frame.root.dataset["first"]) frame.root.dataset["first"] = (performance.now() - born).toFixed(0);
    }
    reading = false;
    frame.root.dataset["settled"] = "true";
  }

  // Counting ----------------------------------------------------------------------------------------

  /** @param {State} s */
  const which = (s) => ({ filter: filterText(s.chips), deleted: s.deleted });

  /** @param {Node[]} chips @param {boolean} done */
  function edit(chips, done) {
    void ask({ ...state(), chips }, done);
  }

  /**
   * Counts a state, and at the end of a gesture goes on to it.
   * @param {State} next
   * @param {boolean} done
   */
  async function ask(next, done) {
    const before = past.now;
    asked = next;
    for (const section of sections) if (section.isOpen()) section.sync();
    const shown = sections.filter((s) => s.isCounted());
    const looks = shown.map((s) => ({ feature: s.feature(), ...s.look }));
    const began = performance.now();
    try {
      const reply = await wire.request("preview", { ...which(next), looks: JSON.stringify(looks) });
      // A newer one took its place, or is on the way: that one tells.
      if (reply === null) return;
      last = /** @type {Counted} */ (reply.data);
      frame.clear();
      last.facets.forEach((f, i) => shown[i]?.count(f.rows, f.kept));
      draw(last);
      frame.root.dataset["took"] = (performance.now() - began).toFixed(1);
      frame.root.dataset["counted"] = String(Number(frame.root.dataset["counted"] ?? 0) + 1);
      if (!done) return;
      // As the kernel reads it: ends in order, repeats dropped.
      past.go({ chips: chipsOf(last.commit.filter), deleted: next.deleted });
      if (asked === next) asked = null;
      commit(last.commit);
      settle();
    } catch (error) {
      // What cannot be counted is not gone on to.
      if (asked === next) asked = null;
      past.now = before;
      settle();
      frame.fail(error);
    }
  }

  /** Shows the state of now, counted. */
  async function refresh() {
    await ask(past.now, true);
    ready(frame);
  }

  /** Tells the notebook, once for each gesture. @param {Commit} now */
  function commit(now) {
    const before = /** @type {Commit} */ (host.model.get("commit"));
    if (before.hash === now.hash && before.deleted === now.deleted && before.filter === now.filter) return;
    host.model.set?.("commit", now);
    host.model.save_changes?.();
  }

  function settle() {
    undo.disabled = past.before.length === 0;
    redo.disabled = past.after.length === 0;
    clear.disabled = past.now.chips.length === 0;
    deleted.checked = state().deleted;
    for (const section of sections) section.sync();
  }

  /** @param {Counted} counted */
  function draw(counted) {
    const text = sharedText(counted.count, counted.total);
    count.textContent = text;
    if (/** @type {Document | ShadowRoot} */ (line.getRootNode()).activeElement !== line || asked === null) line.value = state().chips.length === 0 ? "" : counted.line;
    line.placeholder = "everything; or type a filter, as gc > 0.5 and length < 100, and press Enter";
    hash.textContent = `# ${counted.commit.hash.slice(0, 8)}`;
    chipRow.replaceChildren(...counted.chips.map((chip, i) => chipItem(chip, i, counted)).filter((c) => c !== null));
    nothing.hidden = counted.strictest === null;
    const strictest = counted.strictest === null ? undefined : counted.chips[counted.strictest];
    if (strictest) {
      const away = button("remove-strictest", "take it away", "Take the most restrictive test away");
      away.dataset["chip"] = String(counted.strictest);
      nothing.replaceChildren(el("span", {}, "Nothing is left. The most restrictive test is ", el("code", {}, strictest.line),
        `: alone it keeps ${grouped(strictest.alone)}; without it ${grouped(strictest.without)} would be left.`), away);
    }
  }

  /** @param {Counted["chips"][number]} chip @param {number} i @param {Counted} counted */
  function chipItem(chip, i, counted) {
    const node = state().chips[i];
    if (node === undefined) return null;
    const away = button("remove", "×", `Take away: ${chip.line}`);
    away.dataset["chip"] = String(i);
    const made = el("li", { class: "flt-chip", "data-testid": "chip", title: `alone it keeps ${grouped(chip.alone)}; without it ${grouped(chip.without)} would be left` },
      el("span", { "data-testid": "chip-line" }, chip.line));
    if (counted.strictest === i) made.dataset["strictest"] = "true";
    if (node.kind === "motif") {
      const hits = el("span", { class: "flt-soft", "data-testid": "hits" }, "counting hits …");
      made.append(hits);
      void countHits(i, counted.commit, hits);
    }
    made.append(away);
    return made;
  }

  /** Places of a motif are counted once the hand rests. @type {Map<string, number>} */
  const known = new Map();
  /** @param {number} chip @param {Commit} now @param {HTMLElement} at */
  async function countHits(chip, now, at) {
    const key = `${now.hash} ${now.deleted} ${now.count} ${chip}`;
    try {
      let hits = known.get(key);
      if (hits === undefined) {
        const reply = await wire.request("hits", { chip, filter: now.filter, deleted: now.deleted });
        if (reply === null) return;
        hits = /** @type {number} */ (reply.data.hits);
        known.set(key, hits);
      }
      at.textContent = `${grouped(now.count)} ${now.count === 1 ? "sequence" : "sequences"}, ${grouped(hits)} ${hits === 1 ? "hit" : "hits"}`;
    } catch (error) {
      frame.fail(error);
    }
  }

  // Gestures ----------------------------------------------------------------------------------------

  /** @param {() => boolean} step */
  const back = (step) => {
    if (!step()) return;
    asked = null;
    void refresh();
  };
  const drop = (/** @type {MouseEvent} */ event) => {
    const pressed = /** @type {HTMLElement} */ (event.target).closest("[data-chip]");
    const at = pressed instanceof HTMLElement ? Number(pressed.dataset["chip"]) : -1;
    if (at < 0) return;
    edit(state().chips.filter((_, i) => i !== at), true);
    clear.focus();
  };
  scope.listen(undo, "click", () => back(() => past.undo()));
  scope.listen(redo, "click", () => back(() => past.redo()));
  scope.listen(clear, "click", () => edit([], true));
  scope.listen(chipRow, "click", drop);
  scope.listen(nothing, "click", drop);
  scope.listen(deleted, "change", () => void ask({ ...state(), deleted: deleted.checked }, true));
  scope.listen(line, "keydown", async (event) => {
    if (event.key !== "Enter") return;
    if (line.value.trim() === "") return edit([], true);
    try {
      const reply = await wire.request("parse", { line: line.value });
      if (reply !== null) edit(chipsOf(reply.data.filter), true);
    } catch (error) {
      frame.fail(error);
    }
  });
  const copied = async (/** @type {HTMLButtonElement} */ from, /** @type {string} */ text) => {
    const done = await copyText(text, frame.root);
    frame.live.textContent = done ? "Copied." : "The clipboard is closed to this page.";
    from.dataset["copied"] = String(done);
  };
  scope.listen(copyLine, "click", () => void copied(copyLine, last?.line ?? ""));
  scope.listen(copyPython, "click", () => void copied(copyPython, last?.python ?? ""));
  scope.listen(hash, "click", () => void copied(hash, last?.commit.hash ?? ""));
  scope.listen(find, "input", () => {
    const wanted = find.value.trim().toLowerCase();
    for (const section of sections) section.root.hidden = wanted !== "" && !`${section.column.name} ${section.column.label}`.toLowerCase().includes(wanted);
    for (const group of groups.querySelectorAll("details")) {
      const some = [...group.querySelectorAll(".flt-section")].some((s) => !(/** @type {HTMLElement} */ (s).hidden));
      group.hidden = !some;
      if (wanted !== "" && some) group.open = true;
    }
  });
  scope.listen(frame.root, "keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && ["text", "search", "number"].includes(event.target.type);
    if (typing || !(event.ctrlKey || event.metaKey)) return;
    const key = event.key.toLowerCase();
    if (key === "z") (event.shiftKey ? redo : undo).click();
    else if (key === "y") redo.click();
    else return;
    event.preventDefault();
  });

  // Others change the data, or the filter from Python -------------------------------------------------

  /** @param {string} what @param {any} data */
  async function noticed(what, data) {
    if (what !== "changed" || data?.why !== "set" || there === null) return;
    const now = /** @type {Commit} */ (host.model.get("commit"));
    past.go({ chips: chipsOf(now.filter), deleted: now.deleted });
    await refresh();
  }
  whileVisible(frame, limits.LOOK_MS, async () => {
    if (there === null) return;
    const reply = await wire.request("look", { version: there.version });
    if (!reply?.data.changed) return;
    await open();
    frame.note("The dataset has changed; these are the new counts.");
  });
  void open();
  return () => scope.close();
}

export default { render };
