/** Why a cell has its value: which part set it, when, by whom, and what it replaced. */
import "./why.css";
import { copyText, el } from "./dom.js";
import { localTime, roleText, setterText, valueText } from "./whywords.js";

/** @typedef {import("./whywords.js").Step} Step */
/** @typedef {import("./frame.js").Frame} Frame */

/** @param {Frame} frame */
export function whyForm(frame) {
  const { scope, wire } = frame;
  const names = el("datalist", { id: `usr-nb-columns-${Math.floor(Math.random() * 1e9)}` });
  const id = el("input", { type: "search", "data-testid": "why-id", placeholder: "7 letters of an id", maxlength: 40, "aria-label": "Record: its id" });
  const column = el("input", { type: "search", "data-testid": "why-column", placeholder: "column", maxlength: 300, list: names.id, "aria-label": "Column" });
  const ask = el("button", { type: "submit", "data-testid": "why", title: "Which part set this value, when, by whom, and what it replaced" }, "why?");
  const told = el("div", { class: "why-told", "data-testid": "why-told", role: "status", hidden: true });
  const form = el("form", { class: "why-cell", "aria-label": "Where a value comes from" },
    el("div", { class: "why-ask" }, el("label", {}, "cell: record", id), el("label", {}, "column", column), ask, names), told);

  async function offer() {
    try {
      const reply = await wire.request("columns");
      if (reply !== null) names.replaceChildren(...reply.data.columns.map((/** @type {string} */ n) => el("option", { value: n })));
    } catch (error) {
      frame.fail(error);
    }
  }

  async function answer() {
    try {
      const reply = await wire.request("why", { id: id.value.trim(), column: column.value.trim() });
      if (reply === null) return;
      frame.clear();
      draw(reply.data);
    } catch (error) {
      told.hidden = true;
      frame.fail(error);
    }
  }

  /** @param {any} found */
  function draw(found) {
    const close = el("button", { type: "button", "aria-label": "Close" }, "×");
    const copy = el("button", { type: "button", "data-testid": "why-copy", title: found.python }, "copy as Python");
    const head = el("div", {}, el("b", { "data-testid": "why-value" }, `${found.column} of ${found.id.slice(0, 8)} is ${valueText(found.value)}`), copy, close);
    close.addEventListener("click", () => { told.hidden = true; }, { signal: scope.signal });
    copy.addEventListener("click", () => void copyText(found.python, frame.root).then((done) => {
      copy.textContent = done ? "copied" : "the browser refused";
    }), { signal: scope.signal });
    /** @type {Step[]} */
    const steps = found.steps;
    const rows = steps.map((s) => el("tr", { "data-testid": "why-step", "data-role": s.role, "data-decides": String(s.decides) },
      el("td", {}, roleText(s)), el("td", { class: "why-value" }, el("div", {}, valueText(s.value))),
      el("td", {}, s.at ? el("time", { datetime: s.at, title: `${s.at} (UTC)` }, localTime(s.at)) : "–"),
      el("td", {}, s.who || "–"), el("td", {}, s.did || "–", ...(s.gone ? [el("small", {}, `then: ${s.gone}`)] : [])),
      el("td", { class: "why-path", title: s.path }, s.path.split("/").at(-1) ?? "")));
    const table = el("table", {}, el("tr", {}, ...["", "value", "when", "by", "what it did", "file"].map((t) => el("th", { scope: "col" }, t))), ...rows);
    const more = [
      setterText(found), steps.length === 0 ? "Nothing ever spoke for it." : "",
      found.all_steps > steps.length ? `${found.all_steps - steps.length} older ones are not shown.` : "",
      found.unreadable.length > 0 ? `Could not be read: ${found.unreadable.join(", ")}` : "",
    ].filter(Boolean);
    told.replaceChildren(head, ...(steps.length > 0 ? [table] : []), ...more.map((t) => el("p", {}, t)));
    told.hidden = false;
  }

  scope.listen(form, "submit", (event) => {
    event.preventDefault();
    void answer();
  });
  /**
   * Asks for a cell of what is shown.
   * @param {string} record its id @param {string} name the column
   */
  function askFor(record, name) {
    id.value = record;
    column.value = name;
    form.hidden = false;
    void answer();
  }

  return { form, id, column, offer, askFor };
}
