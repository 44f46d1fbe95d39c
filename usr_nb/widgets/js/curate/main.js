/** The panel *curate*: one record at a time by keyboard; all that are reviewed, by a plan. */
import "../lib/base.css";
import "./curate.css";
import { el, setOptions } from "../lib/dom.js";
import { makeFrame, ready } from "../lib/frame.js";
import { grouped, lengthText, scoreText } from "../lib/numbers.js";
import { table } from "../lib/tables.js";
import { Earlier } from "../lib/earlier.js";
import { Writer } from "../lib/write.js";
import { letterLines, Queue, shifted } from "./queue.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("../lib/wire.js").Model} Model */
/** @typedef {{ place: number, id: string, bio_type: string, length: number, sequence: string, source: string, state: Record<string, any>, values: Record<string, any> }} Rec */

const KEYS = [
  ["p", "pass"], ["f", "fail"], ["w", "warn"], ["x", "clear"], ["j k ↓ ↑", "next, previous"], ["m", "mask or unmask"],
  ["s then t v e h", "split train, val, test, holdout"], ["D", "delete, with a reason"], ["u", "undo, as a new event"],
  ["g", "go to a number or an id"], ["Shift with p f w x m", "all that are reviewed, after a plan"], ["?", "these keys"],
];
const SPLITS = /** @type {Record<string, string>} */ ({ t: "train", v: "val", e: "test", h: "holdout" });
const QC = /** @type {Record<string, string>} */ ({ p: "pass", f: "fail", w: "warn" });
const PAGE = 20;

/** @param {unknown} v */
const cellText = (v) => v === null || v === undefined ? "–" : v === "" ? '""' : typeof v === "number" ? scoreText(v) : Array.isArray(v) && v.length > 8 ? `vec[${v.length}]` : typeof v === "object" ? JSON.stringify(v).slice(0, 200) : String(v).slice(0, 400);

const newToken = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");
/** @param {number} n */
const decisionsText = (n) => `${grouped(n)} decision${n === 1 ? "" : "s"}`;
const pause = () => new Promise((go) => setTimeout(go, limits.JOB_MS));

/** @param {{ model: Model & { set?: Function, save_changes?: Function }, el: HTMLElement }} host */
function render(host) {
  const frame = makeFrame(host, { name: "curate", label: "Curate", onNotice: (what) => what === "changed" && void begin() });
  const { scope, wire } = frame;
  const title = el("span", { class: "usr-nb-title" });
  const button = (/** @type {string} */ name, /** @type {string} */ text) => el("button", { type: "button", "data-testid": name }, text);
  const line = el("input", { type: "text", "data-testid": "filter", placeholder: 'all records; such as gc > 0.7 and qc_status is null', maxlength: limits.TEXT_LENGTH, "aria-label": "Which records" });
  const columnBox = el("select", { "data-testid": "columns", "aria-label": "Show a column" });
  const blind = el("input", { type: "checkbox", "data-testid": "blind" });
  const help = button("help", "Keys ?");
  const keys = el("div", { class: "usr-nb-keys", hidden: true, "data-testid": "keys" }, ...KEYS.map(([k, what]) => el("span", {}, el("kbd", {}, k ?? ""), ` ${what}`)));
  const where = el("span", { class: "cu-where", "data-testid": "where", role: "status" });
  const counts = el("span", { class: "cu-where", "data-testid": "counts" });
  const unsaved = el("span", { class: "cu-unsaved", "data-testid": "unsaved" });
  const listens = el("span", { class: "cu-listens", "data-testid": "listens" }, "click the record to use the keys");
  const card = el("div", { class: "cu-record", tabindex: 0, role: "group", "aria-label": "The record", "data-testid": "record" });
  const why = el("div", { class: "cu-why", "data-testid": "why", role: "status" });
  const reason = el("input", { type: "text", "data-testid": "reason", placeholder: "reason (kept with what you decide)", maxlength: 400, "aria-label": "Reason" });
  const chips = el("span", { "data-testid": "reasons" });
  const go = el("input", { type: "text", "data-testid": "go", placeholder: "number or id", maxlength: 100, "aria-label": "Go to" });
  const goRow = el("div", { class: "cu-row", hidden: true }, el("label", {}, "go to", go));
  const bulk = ["pass", "fail", "warn", "clear", "mask", "delete"].map((w) => button(`all-${w}`, `${w} all`));
  const writer = new Writer(frame, host.model, { panel: "curate", lines: true, replan: () => void (asked && bulkPlan(asked)), done: () => void after() });
  // What the keys decide is saved without being asked, so it is remembered by itself.
  const past = new Earlier(frame);
  past.element.dataset["testid"] = "earlier-keys";
  const planRow = el("div", { hidden: true }, writer.element);
  frame.body.append(
    el("div", { class: "usr-nb-bar" }, title, el("label", {}, "where", line), columnBox, el("label", {}, blind, "blind"), help), keys, past.element, writer.earlier,
    card, why, el("div", { class: "cu-row" }, reason, chips), goRow,
    el("div", { class: "cu-row", role: "toolbar", "aria-label": "All that are reviewed" }, el("span", {}, "all reviewed:"), ...bulk), planRow,
    el("div", { class: "usr-nb-foot" }, where, counts, unsaved, listens),
  );

  const queue = new Queue();
  let place = { dataset: "", root: "", total: 0, hash: "", columns: /** @type {string[]} */ ([]) };
  /** @type {string[]} */
  let shown = [];
  let at = 0;
  /** @type {Map<number, Rec>} */
  const pages = new Map();
  /** @type {{ qc: Record<string, number>, masked: number }} */
  let tally = { qc: {}, masked: 0 };
  let splitNext = false;
  /** @type {Record<string, string> | null} what the plan that is shown does */
  let asked = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let saving = false;
  const key = (/** @type {string} */ what) => `usr-nb:curate:${what}:${place.root}:${place.dataset}`;
  const keep = (/** @type {string} */ what, /** @type {string} */ text) => { try { localStorage.setItem(key(what), text); } catch { /* kept nowhere */ } };
  const kept = (/** @type {string} */ what) => { try { return localStorage.getItem(key(what)) ?? ""; } catch { return ""; } };

  /** @param {number} n */
  async function fetchAround(n) {
    const start = Math.max(0, Math.min(n, Math.max(0, place.total - 1)));
    const reply = await wire.request("page", { start, count: PAGE, columns: shown.map((name) => ({ name })) });
    for (const r of reply?.data.records ?? []) {
      // What is decided and not saved yet shows at once.
      for (const d of queue.unsaved) if (d.id === r.id) r.state[d.field] = d.field === "masked" ? d.value === "true" : d.value || null;
      pages.set(r.place, r);
    }
  }

  /** @param {number} n */
  async function showAt(n) {
    at = Math.max(0, Math.min(n, place.total - 1));
    why.textContent = "";
    try {
      if (place.total > 0 && !pages.has(at)) await fetchAround(at);
      draw();
      if (at + 5 < place.total && !pages.has(at + 5)) void fetchAround(at + 1).catch(frame.fail);
    } catch (error) {
      frame.fail(error);
    }
  }

  function draw() {
    const r = pages.get(at);
    where.textContent = place.total === 0 ? "no record fits" : `${grouped(at + 1)} of ${grouped(place.total)}`;
    counts.textContent = ["pass", "warn", "fail"].filter((k) => tally.qc[k]).map((k) => `${grouped(tally.qc[k] ?? 0)} ${k}`).join(", ");
    const left = queue.unsaved.length;
    unsaved.textContent = left === 0 ? "" : saving ? `saving ${grouped(left)}…` : `${grouped(left)} unsaved`;
    if (r === undefined) return card.replaceChildren(place.total === 0 ? "No record fits." : "…");
    keep(`at:${place.hash}`, r.id);
    const chip = (/** @type {string} */ name, /** @type {string} */ value) => el("span", { class: "cu-chip", "data-testid": name, "data-value": value }, value);
    const state = blind.checked ? [] : [
      chip("qc", r.state["qc_status"] ?? "no qc"), chip("split", r.state["split"] ?? "no split"),
      ...(r.state["masked"] ? [chip("masked", "masked")] : []),
    ];
    const values = blind.checked || shown.length === 0 ? [] : [table(["column", "value"], shown.map((c) => [c, cellText(r.values[c])]), "values")];
    card.replaceChildren(
      el("div", { class: "cu-head" }, el("b", { "data-testid": "id", title: r.id }, r.id.slice(0, 8)), el("span", {}, lengthText(r.length, r.bio_type)), ...state),
      el("div", { class: "cu-letters", "data-testid": "letters" }, ...letterLines(r.sequence).map((l) => el("div", {}, el("i", {}, String(l.from)), l.letters))),
      ...(r.length > r.sequence.length ? [el("small", {}, `the first ${grouped(r.sequence.length)} letters`)] : []), ...values,
    );
    frame.root.dataset["place"] = String(at);
  }

  /** @param {[string, string][]} fields field and value; "" unsets @param {boolean} [advance] */
  function decide(fields, advance = false) {
    const r = pages.get(at);
    if (r === undefined) return;
    const text = (/** @type {any} */ v) => (v === null || v === undefined ? "" : String(v));
    queue.decide(fields.map(([field, value]) => ({ id: r.id, field, value, before: field === "masked" && !r.state["masked"] ? "" : text(r.state[field]) })), at);
    for (const [field, value] of fields) set(r, field, value);
    frame.live.textContent = fields.map(([f, v]) => `${f} ${v || "cleared"}`).join(", ");
    plannedSave();
    if (advance && at + 1 < place.total) void showAt(at + 1);
    else draw();
  }

  /** @param {Rec} r @param {string} field @param {string} value */
  function set(r, field, value) {
    if (field === "qc_status") tally = { ...tally, qc: shifted(tally.qc, r.state[field] ?? "", value) };
    r.state[field] = field === "masked" ? value === "true" : value || null;
  }

  function undo() {
    const back = queue.undo();
    if (back === null) return void (frame.live.textContent = "nothing to undo");
    void showAt(back.place).then(() => {
      const r = pages.get(back.place);
      if (r !== undefined) for (const c of back.changes) if (c.id === r.id) set(r, c.field, c.value);
      draw();
    });
    plannedSave();
  }

  // 200 key presses are not 200 commits: they are saved together, at 25, after 5 s, or on leaving.
  function plannedSave() {
    clearTimeout(timer);
    if (queue.unsaved.length >= limits.BATCH) void save();
    else if (queue.unsaved.length > 0) timer = setTimeout(() => void save(), limits.BATCH_MS);
  }

  // The kernel saves in a thread: the next record does not wait for it.
  async function save() {
    clearTimeout(timer);
    if (saving || queue.unsaved.length === 0) return;
    saving = true;
    const batch = queue.batch(4 * limits.BATCH);
    const token = newToken();
    past.hide();
    past.keep({ token, button: decisionsText(batch.taken.length), at: new Date().toISOString() });
    draw();
    try {
      let reply = await wire.request("save", { token, decisions: batch.decisions, reason: reason.value.trim(), undoes: batch.undoes });
      while (reply?.data.state === "running" && !scope.signal.aborted) {
        await pause();
        reply = await wire.request("saved", { token });
      }
      if (reply === null) return;
      past.forget();
      if (reply.data.state === "failed") throw new Error(`${reply.data.error.message}\n${reply.data.error.hint}`.trim());
      queue.saved(batch.taken, reply.data.operation_id);
      tally = reply.data.tally;
      for (const u of queue.unsaved) if (u.field === "qc_status") tally = { ...tally, qc: shifted(tally.qc, u.before, u.value) };
      rememberReason();
      announce(reply.data.receipts);
    } catch (error) {
      // Nothing of it was written, so the records show what they are.
      past.forget();
      queue.failed(batch.taken);
      const told = error instanceof Error ? error.message : String(error);
      frame.fail(new Error(`${decisionsText(batch.taken.length)} could not be saved and ${batch.taken.length === 1 ? "was" : "were"} taken back: ${told}`));
      await look().catch(frame.fail);
      await showAt(at);
    } finally {
      saving = false;
      draw();
      plannedSave();
    }
  }

  /** @param {number} receipts */
  function announce(receipts) {
    if (host.model.get("receipts") === receipts) return;
    host.model.set?.("receipts", receipts);
    host.model.save_changes?.();
  }

  function rememberReason() {
    const text = reason.value.trim();
    const known = /** @type {string[]} */ (JSON.parse(kept("reasons") || "[]"));
    if (text !== "") keep("reasons", JSON.stringify([text, ...known.filter((k) => k !== text)].slice(0, 6)));
    drawReasons();
  }

  function drawReasons() {
    const known = /** @type {string[]} */ (JSON.parse(kept("reasons") || "[]"));
    chips.replaceChildren(...known.map((text) => {
      const chip = el("button", { type: "button", class: "cu-chip" }, text.slice(0, 40));
      chip.addEventListener("click", () => (reason.value = text));
      return chip;
    }));
  }

  /** @param {Record<string, string>} what */
  async function bulkPlan(what) {
    await save();
    asked = what;
    planRow.hidden = false;
    writer.show(null);
    try {
      const reply = await wire.request("plan", { ...what, reason: reason.value.trim() });
      if (reply === null) return;
      if (reply.data.plan === null) return frame.fail(new Error(`${reply.data.refused.message}\n${reply.data.refused.hint}`));
      frame.clear();
      writer.show(reply.data.plan);
      if (reply.data.plan.ready) writer.confirm.focus();
    } catch (error) {
      frame.fail(error);
    }
  }

  async function after() {
    rememberReason();
    asked = null;
    const gone = pages.get(at)?.id;
    const reply = await wire.request("place");
    if (reply !== null) take(reply.data);
    await look();
    const again = [...pages.values()].find((r) => r.id === gone)?.place ?? at;
    await showAt(again);
  }

  async function look() {
    pages.clear();
    const reply = await wire.request("tally");
    if (reply !== null) tally = reply.data;
  }

  /** @param {string} name @param {boolean} all */
  function command(name, all) {
    if (all) {
      const value = /** @type {Record<string, Record<string, string>>} */ ({ clear: { what: "clear" }, mask: { what: "masked", value: "true" }, delete: { what: "delete" } })[name] ?? { what: "qc_status", value: name };
      return void bulkPlan(value);
    }
    const r = pages.get(at);
    if (name === "mask") decide([["masked", r?.state["masked"] ? "false" : "true"]]);
    else if (name === "clear") decide([["qc_status", ""], ["masked", ""], ["split", ""]]);
    else decide([["qc_status", name]], true);
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
    const k = event.key;
    const low = k.toLowerCase();
    const handled = () => event.preventDefault();
    if (splitNext) {
      splitNext = false;
      if (SPLITS[low] !== undefined) return handled(), decide([["split", SPLITS[low] ?? ""]]);
    }
    if (k === "D") {
      handled();
      const r = pages.get(at);
      if (r === undefined) return;
      asked = { what: "delete", id: r.id };
      reason.focus();
      frame.note(`Why is ${r.id.slice(0, 8)} deleted? Enter shows the plan, Escape leaves it.`);
    } else if (QC[low] !== undefined) handled(), command(QC[low] ?? "", event.shiftKey);
    else if (low === "x") handled(), command("clear", event.shiftKey);
    else if (low === "m") handled(), command("mask", event.shiftKey);
    else if (k === "s") handled(), (splitNext = true), (frame.live.textContent = "split: t, v, e or h");
    else if (k === "j" || k === "ArrowDown" || k === "ArrowRight") handled(), void showAt(at + 1);
    else if (k === "k" || k === "ArrowUp" || k === "ArrowLeft") handled(), void showAt(at - 1);
    else if (k === "u") handled(), undo();
    else if (k === "g") handled(), (goRow.hidden = false), go.focus();
    else if (k === "?") handled(), (keys.hidden = !keys.hidden);
  }

  scope.listen(card, "keydown", onKey);
  scope.listen(card, "focus", () => { listens.textContent = "listening to the keys"; listens.dataset["on"] = "true"; });
  scope.listen(card, "blur", () => { listens.textContent = "click the record to use the keys"; listens.dataset["on"] = "false"; void save(); });
  scope.listen(card, "click", (event) => {
    const row = event.target instanceof Element ? event.target.closest('[data-testid="values-row"]') : null;
    const column = row?.firstElementChild?.textContent;
    const r = pages.get(at);
    if (!column || r === undefined) return;
    wire.request("why", { id: r.id, column }).then((reply) => { if (reply !== null) why.textContent = reply.data.text; }, frame.fail);
  });
  scope.listen(reason, "keydown", (event) => {
    if (event.key === "Enter" && asked?.["what"] === "delete") { frame.note(""); void bulkPlan(asked); }
    else if (event.key === "Enter" || event.key === "Escape") { asked = null; frame.note(""); card.focus(); }
  });
  scope.listen(go, "keydown", (event) => {
    if (event.key === "Escape") { goRow.hidden = true; card.focus(); }
    if (event.key !== "Enter") return;
    wire.request("find", { text: go.value }).then((reply) => {
      if (reply === null) return;
      frame.clear();
      goRow.hidden = true;
      card.focus();
      void showAt(reply.data.place);
    }, frame.fail);
  });
  for (const b of bulk) scope.listen(b, "click", () => command((b.dataset["testid"] ?? "").replace("all-", ""), true));
  scope.listen(help, "click", () => (keys.hidden = !keys.hidden));
  scope.listen(blind, "change", draw);
  scope.listen(columnBox, "change", () => {
    const name = columnBox.value;
    shown = name === "" ? [] : shown.includes(name) ? shown.filter((c) => c !== name) : [...shown, name];
    columnBox.value = "";
    pages.clear();
    void showAt(at);
  });
  scope.listen(line, "change", () => {
    void save().then(async () => {
      const reply = await wire.request("filter", { line: line.value });
      if (reply === null) return;
      frame.clear();
      take(reply.data);
      await look();
      await showAt(0);
    }).catch(frame.fail);
  });
  scope.listen(document, "visibilitychange", () => document.hidden && void save());
  scope.listen(window, "pagehide", () => void save());
  scope.onClose(() => {
    clearTimeout(timer);
    if (saving || queue.unsaved.length === 0) return;
    // The wire is closed by now, and nobody waits for an answer.
    const batch = queue.batch();
    host.model.send({ kind: "request", id: 0, op: "save", args: { token: newToken(), decisions: batch.decisions, reason: reason.value.trim(), undoes: batch.undoes } });
  });

  /** @param {any} found */
  function take(found) {
    place = found;
    title.replaceChildren("Curate ", found.dataset, el("small", {}, `${grouped(found.total)} records`));
    line.value = found.where;
    setOptions(columnBox, [{ value: "", text: "show a column…" }, ...found.columns.map((/** @type {string} */ c) => ({ value: c, text: c }))]);
  }

  async function begin() {
    try {
      const reply = await wire.request("place");
      if (reply === null) return;
      take(reply.data);
      shown = reply.data.shown;
      drawReasons();
      await look();
      const last = kept(`at:${place.hash}`);
      const found = last === "" ? null : await wire.request("find", { text: last }).catch(() => null);
      await showAt(found?.data.place ?? 0);
      past.key = key("save");
      ready(frame);
      await past.tell();
      await writer.begin(place);
    } catch (error) {
      frame.fail(error);
    }
  }
  void begin();
  return () => scope.close();
}

export default { render };
