/** The panel *history*: events in sentences, newest first. */
import "../lib/base.css";
import "./history.css";
import { el, Scope, setOptions } from "../lib/dom.js";
import { makeFrame, ready, whileVisible } from "../lib/frame.js";
import { grouped } from "../lib/numbers.js";
import { table } from "../lib/tables.js";
import { whyForm } from "../lib/why.js";
import { localTime } from "../lib/whywords.js";
import { changeLines, comparisonLines, counted, utcText } from "./words.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("../lib/wire.js").Model} Model */
/**
 * @typedef {{ line: number, parts: number, at: string, since: string, who: string, run_id: string,
 *   action: string, namespace: string, sentence: string }} Item
 * @typedef {{ start: number, items: Item[], total: number, events: number, all_events: number, exact: boolean, dataset: string, version: string }} Page
 */

const COUNT = Math.min(50, limits.EVENTS_PAGE);

/** @param {string} name @param {string} text @param {string} label */
const button = (name, text, label) =>
  el("button", { type: "button", "data-testid": name, "aria-label": label, title: label }, text);

/** @param {{ model: Model, el: HTMLElement }} host */
function render(host) {
  const frame = makeFrame(host, { name: "history", label: "History" });
  const { scope, wire } = frame;
  const title = el("span", { class: "usr-nb-title" });
  const action = el("select", { "data-testid": "action" });
  const fields = {
    actor: el("input", { type: "search", "data-testid": "actor", placeholder: "tool, run or machine", maxlength: 200 }),
    text: el("input", { type: "search", "data-testid": "text", placeholder: "id, namespace, file", maxlength: limits.TEXT_LENGTH }),
    since: el("input", { type: "datetime-local", "data-testid": "since", step: 1 }),
    until: el("input", { type: "datetime-local", "data-testid": "until", step: 1 }),
    record: el("input", { type: "search", "data-testid": "record", placeholder: "7 letters of an id, Enter", maxlength: 40 }),
  };
  setOptions(action, [{ value: "", text: "any" }]);
  const list = el("ol", { class: "hist-list", "data-testid": "list", "aria-label": "Events, newest first" });
  const empty = el("div", { class: "hist-empty", "data-testid": "empty", hidden: true }, "No event fits.");
  const compared = el("div", { class: "hist-compare", "data-testid": "comparison", role: "status", hidden: true });
  const newer = button("newer", "← newer", "The page of newer events");
  const older = button("older", "older →", "The page of older events");
  const fresh = button("fresh", "new events ↑", "Show the new events");
  fresh.hidden = true;
  const where = el("span", { "data-testid": "where", role: "status" });
  const label = (/** @type {string} */ text, /** @type {HTMLElement} */ control) => el("label", {}, text, control);
  const hint = el("span", {}, "mark two events to compare them");
  const cell = whyForm(frame);
  frame.body.classList.add("hist-body");
  frame.body.append(
    el("div", { class: "usr-nb-bar", role: "toolbar", "aria-label": "Which events" }, title,
      label("action", action), label("by", fields.actor), label("text", fields.text), label("record", fields.record),
      label("from", fields.since), label("to", fields.until)),
    cell.form, list, empty, compared,
    el("div", { class: "usr-nb-foot" }, newer, older, where, fresh, hint),
  );

  /** @type {Page | null} */
  let page = null;
  /** Listeners of the rows that are shown; they go when others come. */
  let rows = new Scope();
  scope.onClose(() => rows.close());
  /** @type {number[]} lines of the marked events */
  let marked = [];

  const wanted = () => ({
    action: action.value, actor: fields.actor.value.trim(), text: fields.text.value.trim(), record: fields.record.value.trim(),
    since: utcText(fields.since.value), until: utcText(fields.until.value),
  });

  let asked = "";

  /** @param {number} start */
  async function load(start) {
    try {
      asked = JSON.stringify(wanted());
      const reply = await wire.request("page", { start, count: COUNT, ...wanted() });
      if (reply === null) return;
      const first = page === null;
      page = /** @type {Page} */ (reply.data);
      draw(page);
      ready(frame);
      frame.clear();
      fresh.hidden = true;
      // The first page came from the end of the log alone; now that it is shown the rest is read.
      if (!page.exact) void load(start);
      if (first || start === 0) void offerActions();
      if (first) void cell.offer();
    } catch (error) {
      frame.fail(error);
    }
  }

  async function offerActions() {
    try {
      const reply = await wire.request("actions");
      if (reply === null) return;
      /** @type {[string, number][]} */
      const found = Object.entries(reply.data.actions);
      setOptions(action, [{ value: "", text: "any" }, ...found.map(([name, n]) => ({ value: name, text: `${name} (${grouped(n)})` }))]);
    } catch (error) {
      frame.fail(error);
    }
  }

  /** @param {Page} shown */
  function draw(shown) {
    rows.close();
    rows = new Scope();
    title.replaceChildren(shown.dataset, el("small", { "data-testid": "events" },
      shown.events === shown.all_events ? counted(shown.all_events, "event") : `${grouped(shown.events)} of ${counted(shown.all_events, "event")}`));
    list.replaceChildren(...shown.items.map((item) => row(item, false)));
    list.scrollTop = 0;
    empty.hidden = shown.items.length > 0;
    const last = shown.start + shown.items.length;
    where.textContent = shown.items.length === 0 ? "" :
      `${grouped(shown.start + 1)}–${grouped(last)}${shown.total < 0 ? "" : ` of ${grouped(shown.total)}`}`;
    newer.disabled = shown.start === 0;
    older.disabled = shown.total >= 0 && last >= shown.total;
    frame.root.dataset["exact"] = String(shown.exact);
  }

  /** @param {Item} item @param {boolean} part */
  function row(item, part) {
    const time = el("time", { datetime: item.at, title: item.parts > 1 ? `${item.since} to ${item.at} (UTC)` : `${item.at} (UTC)` }, localTime(item.at));
    const mark = el("input", { type: "checkbox", "data-testid": "mark", "aria-label": `Compare: ${item.sentence}` });
    mark.checked = marked.includes(item.line);
    const what = el("span", { class: "hist-what", "data-testid": "sentence" }, item.sentence);
    if (item.run_id && !part) what.append(el("small", {}, `run ${item.run_id}`));
    const details = button("details", "{ }", "The event as it stands in the log");
    details.setAttribute("aria-expanded", "false");
    const unfold = item.parts > 1 ? button("unfold", `${grouped(item.parts)} parts`, "Show the parts of this run") : null;
    unfold?.setAttribute("aria-expanded", "false");
    const made = el("li", { class: part ? "hist-item part" : "hist-item", tabindex: 0, "data-testid": part ? "part" : "item", "data-line": item.line },
      mark, time, el("span", { class: "hist-who", title: item.who, "data-testid": "who" }, item.who), what,
      el("span", { class: "hist-buttons" }, ...(unfold ? [unfold] : []), details));
    made.dataset["marked"] = String(mark.checked);
    rows.listen(mark, "change", () => setMark(item.line, mark.checked));
    rows.listen(details, "click", () => void showEvent(made, item, details));
    if (unfold) rows.listen(unfold, "click", () => void showParts(made, item, unfold));
    rows.listen(made, "keydown", (event) => {
      if (event.target !== made) return;
      const next = event.key === "ArrowDown" || event.key === "j" ? made.nextElementSibling
        : event.key === "ArrowUp" || event.key === "k" ? made.previousElementSibling : null;
      if (next instanceof HTMLElement) next.focus();
      else if (event.key === "Enter") (unfold ?? details).click();
      else if (event.key === " ") mark.click();
      else return;
      event.preventDefault();
    });
    return made;
  }

  /** @param {HTMLElement} at @param {Item} item @param {HTMLElement} opener */
  async function showEvent(at, item, opener) {
    const open = at.querySelector("pre");
    opener.setAttribute("aria-expanded", String(open === null));
    if (open) return open.remove();
    try {
      const reply = await wire.request("event", { line: item.line });
      if (reply !== null) at.append(el("pre", { "data-testid": "event" }, reply.data.text + (reply.data.cut ? "\n…" : "")));
    } catch (error) {
      frame.fail(error);
    }
  }

  /** @param {HTMLElement} at @param {Item} item @param {HTMLElement} opener */
  async function showParts(at, item, opener) {
    const open = opener.getAttribute("aria-expanded") === "true";
    opener.setAttribute("aria-expanded", String(!open));
    if (open) {
      while (at.nextElementSibling?.classList.contains("part")) at.nextElementSibling.remove();
      return;
    }
    try {
      const reply = await wire.request("parts", { line: item.line, ...wanted() });
      if (reply === null) return;
      /** @type {Item[]} */
      const parts = reply.data.items;
      at.after(...parts.map((p) => row(p, true)));
      if (reply.data.parts > parts.length) frame.live.textContent = `The newest ${parts.length} parts are shown.`;
    } catch (error) {
      frame.fail(error);
    }
  }

  /** @param {number} line @param {boolean} on */
  function setMark(line, on) {
    marked = on ? [...marked.filter((m) => m !== line), line].slice(-2) : marked.filter((m) => m !== line);
    for (const found of list.querySelectorAll("li")) {
      const is = marked.includes(Number(found.dataset["line"]));
      found.dataset["marked"] = String(is);
      const box = found.querySelector("input");
      if (box) box.checked = is;
    }
    void compare();
  }

  async function compare() {
    const [first, second] = marked;
    compared.hidden = first === undefined || second === undefined;
    hint.textContent = marked.length === 1 ? "mark one more event" : "mark two events to compare them";
    if (first === undefined || second === undefined) return;
    try {
      const reply = await wire.request("compare", { first, second });
      if (reply === null) return;
      /** @type {import("./words.js").Comparison} */
      const c = reply.data;
      const most = Math.max(1, ...Object.values(c.written));
      const bars = el("div", { class: "hist-bars", role: "img", "aria-label": "Rows written by namespace" });
      for (const [namespace, n] of Object.entries(c.written)) {
        const bar = el("div");
        bar.style.width = `${(100 * n) / most}%`;
        bars.append(el("span", {}, namespace), bar, el("span", { "data-testid": `written-${namespace}` }, counted(n, "row")));
      }
      compared.replaceChildren(
        el("h4", {}, `${localTime(c.before.at)} → ${localTime(c.after.at)}`),
        ...comparisonLines(c).map((line) => el("p", {}, line)), bars, ...(Object.keys(c.written).length > 0 ? [perColumn(first, second)] : []),
      );
    } catch (error) {
      frame.fail(error);
    }
  }

  /** What became of each column is worked out when it is asked for. @param {number} one @param {number} two */
  function perColumn(one, two) {
    const ask = button("per-column", "per column…", "Compare the values of both moments, column by column");
    const place = el("div", {}, ask);
    ask.addEventListener("click", async () => {
      ask.disabled = true;
      ask.textContent = "comparing…";
      try {
        let reply = await wire.request("changes", { first: one, second: two });
        while (reply?.data.state === "running" && !scope.signal.aborted) {
          await new Promise((go) => setTimeout(go, limits.JOB_MS));
          reply = await wire.request("changes_now");
        }
        if (reply?.data.state !== "done" || !place.isConnected) return;
        place.replaceChildren(...changeLines(reply.data.unknown).map((line) => el("p", {}, line)),
          table(["column", "first values", "other values", "values gone"], reply.data.columns.map((/** @type {any} */ x) => [x.name, x.added, x.changed, x.removed]), "change"));
      } catch (error) {
        place.replaceChildren();
        frame.fail(error);
      }
    });
    return place;
  }

  const first = () => void load(0);
  // An input tells of a change when it is left, too: what was opened meanwhile must stay.
  const filtered = () => {
    if (JSON.stringify(wanted()) !== asked) first();
  };
  scope.listen(action, "change", filtered);
  for (const input of Object.values(fields)) scope.listen(input, "change", filtered);
  for (const input of [fields.actor, fields.text]) scope.listen(input, "input", filtered);
  scope.listen(newer, "click", () => void load(Math.max(0, (page?.start ?? 0) - COUNT)));
  scope.listen(older, "click", () => void load((page?.start ?? 0) + COUNT));
  scope.listen(fresh, "click", first);
  whileVisible(frame, limits.LOOK_MS, async () => {
    if (page === null) return;
    const reply = await wire.request("look", { version: page.version });
    if (!reply?.data.changed) return;
    // Who reads an older page, or has opened something, is told and not moved.
    const reading = (page?.start ?? 0) > 0 || list.querySelector("[aria-expanded=true]") !== null;
    if (reading) fresh.hidden = false;
    else await load(0);
  });
  first();
  return () => scope.close();
}

export default { render };
