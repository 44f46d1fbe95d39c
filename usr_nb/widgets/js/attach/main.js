/** The panel *attach*: a source, how it matches, what each column becomes; the dry run is the screen. */
import "../lib/base.css";
import "./attach.css";
import { el, setOptions } from "../lib/dom.js";
import { makeFrame, ready } from "../lib/frame.js";
import { grouped } from "../lib/numbers.js";
import { part, table, tile } from "../lib/tables.js";
import { Writer } from "../lib/write.js";
import { share } from "../lib/writewords.js";
import { columnsAsked, inPanelWords, missText } from "./words.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("../lib/wire.js").Model} Model */
/** @typedef {import("./words.js").Column} Column */

/** @param {{ model: Model, el: HTMLElement }} host */
function render(host) {
  const frame = makeFrame(host, { name: "attach", label: "Attach" });
  const { scope, wire } = frame;
  const title = el("span", { class: "usr-nb-title" });
  const input = (/** @type {string} */ name, /** @type {Record<string, any>} */ more = {}) => el("input", { type: "text", "data-testid": name, ...more });
  const check = (/** @type {string} */ name) => el("input", { type: "checkbox", "data-testid": name });
  const path = input("path", { placeholder: "path of a csv, tsv, jsonl, parquet or xlsx file", "aria-label": "Path of the file", maxlength: 4096 });
  const look = el("button", { type: "button", "data-testid": "look" }, "Look");
  const file = el("input", { type: "file", "data-testid": "file-input", class: "usr-nb-offscreen", tabindex: -1, accept: ".csv,.tsv,.jsonl,.ndjson,.parquet,.xlsx,.gz", "aria-label": "Upload a file" });
  const upload = el("button", { type: "button", "data-testid": "upload" }, "Upload a file…");
  const frames = el("select", { "data-testid": "frames", "aria-label": "A table of the kernel" });
  const spaces = el("datalist", { id: `usr-nb-ns-${Math.random().toString(36).slice(2)}` });
  const namespace = input("namespace", { list: spaces.id, placeholder: "such as evo2", maxlength: 200 });
  const key = el("select", { "data-testid": "key" });
  const aggregate = el("select", { "data-testid": "aggregate" });
  setOptions(aggregate, [{ value: "", text: "an error" }, ...["mean", "median", "first", "list"].map((v) => ({ value: v, text: v }))]);
  const register = check("register");
  register.checked = true;
  const overwrite = check("allow-overwrite");
  const missing = check("skip-missing");
  const label = (/** @type {string} */ text, /** @type {Node} */ control) => el("label", {}, control instanceof HTMLInputElement && control.type === "checkbox" ? control : text, control instanceof HTMLInputElement && control.type === "checkbox" ? text : control);
  const tiles = el("div", { class: "w-tiles", "data-testid": "tiles", role: "status" });
  const details = el("div", {});
  const columns = el("div", { class: "at-columns w-scroll" });
  const columnPart = part("Columns", columns);
  columnPart.hidden = true;
  const writer = new Writer(frame, host.model, { panel: "attach", replan: () => void plan(), words: inPanelWords, again: askAgain,
    note: (p) => ({ columns: p.registers.map((/** @type {any} */ c) => c.name), ...(source.kind === "upload" ? {} : { asked: wanted() }) }) });
  frame.body.append(
    el("div", { class: "usr-nb-bar" }, title), writer.earlier,
    el("div", { class: "at-source" }, path, look, upload, file, frames),
    el("div", { class: "at-how" }, label("namespace", namespace), spaces, label("matched by", key), label("repeated keys", aggregate),
      label("register missing columns", register), label("replace values that are there", overwrite), label("skip unmatched rows", missing)),
    tiles, columnPart, details, writer.element,
  );

  let source = { kind: "path", source: "" };
  /** @type {Column[]} the columns of the plan that is shown, with what was edited */
  let edited = [];
  let touched = false;

  const wanted = () => {
    const [k = "", col = "", match = ""] = JSON.parse(key.value || '["","",""]');
    return {
      ...source, namespace: namespace.value.trim(), key: match ? "" : k, key_col: col, match,
      aggregate: aggregate.value, register: register.checked, overwrite: overwrite.checked,
      missing: missing.checked, columns: touched ? columnsAsked(edited) : [],
    };
  };

  /** Asks once more what was asked before the kernel was killed. @param {ReturnType<typeof wanted>} asked */
  function askAgain(asked) {
    source = { kind: asked.kind, source: asked.source };
    (asked.kind === "path" ? path : frames).value = asked.source;
    namespace.value = asked.namespace;
    aggregate.value = asked.aggregate;
    for (const [box, on] of /** @type {const} */ ([[register, asked.register], [overwrite, asked.overwrite], [missing, asked.missing]])) box.checked = on;
    setOptions(key, [{ value: JSON.stringify([asked.key, asked.key_col, asked.match]), text: asked.key_col }]);
    touched = asked.columns.length > 0;
    edited = asked.columns.map((c) => ({ registered: false, held: false, blank: 0, ...c }));
    void plan();
  }

  async function plan() {
    if (source.source === "" || namespace.value.trim() === "") return;
    // Until the new plan is there, the old one cannot be confirmed.
    writer.show(null);
    try {
      const reply = await wire.request("plan", wanted());
      if (reply === null) return;
      frame.clear();
      draw(reply.data);
    } catch (error) {
      frame.fail(error);
    }
  }

  /** @param {any} answer */
  function draw(answer) {
    const p = answer.plan;
    if (p === null) {
      tiles.replaceChildren();
      details.replaceChildren();
      columnPart.hidden = true;
      writer.show(null);
      frame.fail(Object.assign(new Error(answer.refused.message + (answer.refused.hint ? `\n${answer.refused.hint}` : "")), { name: answer.refused.type }));
      return;
    }
    offerKeys(p);
    tiles.replaceChildren(
      tile("incoming", "rows of the input", p.incoming),
      tile("matched", `matched (${share(p.matched, p.incoming)})`, p.matched),
      tile("missing", "unmatched", p.missing, p.missing > 0),
      tile("new", "records get a first value", p.new),
      tile("overwritten", "overwritten", p.overwritten, p.overwritten > 0),
      tile("unset", "unset", p.unset, p.unset > 0),
    );
    if (!touched) edited = p.columns.map((/** @type {any} */ c) => ({ ...c, take: true }));
    else for (const c of edited) Object.assign(c, p.columns.find((/** @type {any} */ x) => x.source === c.source) ?? {});
    drawColumns();
    const parts = [];
    if (p.unmatched.length > 0)
      parts.push(part(`Unmatched: ${p.misses.map(missText).join(" · ")}`, table(["row", "key", "why"], p.unmatched.map((/** @type {any} */ u) => [u.row, u.key.slice(0, 60), u.why]), "unmatched")));
    if (p.repeats.length > 0)
      parts.push(part("Keys that stand in several rows", table(["key", "times", "rows"], p.repeats.map((/** @type {any} */ r) => [r.key.slice(0, 60), r.count, r.rows.join(", ")]), "repeats")));
    if (p.bad_cells.length > 0)
      parts.push(part("Cells that do not fit their column", table(["row", "column", "cell", "why"], p.bad_cells.map((/** @type {any} */ b) => [b.row, b.column, b.value, b.why]), "bad-cells")));
    if (p.overwrites.length > 0)
      parts.push(part("Values that give way", table(["record", "column", "now", "then"], p.overwrites.map((/** @type {any} */ o) => [o.id.slice(0, 8), o.column, o.before, o.after]), "overwrites")));
    details.replaceChildren(...parts);
    writer.show(p);
    frame.live.textContent = p.question;
  }

  /** @param {any} p */
  function offerKeys(p) {
    const now = JSON.stringify([p.key, p.key_col, p.match]);
    const offered = p.choices.map((/** @type {any} */ c) => ({ value: JSON.stringify([c.key, c.column, c.match ?? ""]), text: `${c.label}${c.sampled ? " of a sample" : ""} (${c.column})` }));
    if (!offered.some((/** @type {any} */ o) => o.value === now)) offered.unshift({ value: now, text: `${p.match || p.key} (${p.key_col})` });
    setOptions(key, offered);
    key.value = now;
  }

  function drawColumns() {
    columnPart.hidden = edited.length === 0;
    // While somebody types in it, the table stays.
    if (columns.contains(/** @type {Document | ShadowRoot} */ (frame.root.getRootNode()).activeElement)) return;
    columns.replaceChildren(table(["", "in the file", "becomes", "type", "", "empty"], edited.map((c) => {
      const take = el("input", { type: "checkbox", "aria-label": `Attach ${c.source}`, "data-testid": "take" });
      take.checked = c.take;
      const name = el("input", { type: "text", "aria-label": `Name of ${c.source}`, "data-testid": "name", value: c.name });
      const type = el("input", { type: "text", "aria-label": `Type of ${c.source}`, "data-testid": "type", value: c.type });
      type.disabled = c.registered;
      const change = () => {
        touched = true;
        Object.assign(c, { take: take.checked, name: name.value.trim(), type: type.value.trim() });
        void plan();
      };
      for (const control of [take, name, type]) control.addEventListener("change", change);
      const state = c.registered ? (c.held ? "has values" : "registered") : "will be registered";
      return [take, c.source, name, type, state, c.blank];
    }), "columns"));
  }

  /** @param {{ kind: string, source: string }} next */
  function setSource(next) {
    source = next;
    touched = false;
    setOptions(key, []);
    if (namespace.value.trim() === "" && next.source !== "") namespace.focus();
    void plan();
  }

  async function sendFile() {
    const chosen = file.files?.[0];
    if (chosen === undefined) return;
    try {
      if (chosen.size > limits.UPLOAD_BYTES) throw new Error(`${chosen.name} is larger than ${grouped(limits.UPLOAD_BYTES)} bytes: give its path instead.`);
      const bytes = new Uint8Array(await chosen.arrayBuffer());
      for (let at = 0; ; at += limits.UPLOAD_PIECE) {
        const piece = bytes.subarray(at, at + limits.UPLOAD_PIECE);
        const last = at + limits.UPLOAD_PIECE >= bytes.length;
        frame.note(last ? "" : `uploading: ${share(at, bytes.length)}`);
        await wire.request("upload", { name: chosen.name.slice(-255), at, piece: btoa(String.fromCharCode(...piece)), last });
        if (last) break;
      }
      path.value = "";
      setSource({ kind: "upload", source: chosen.name });
    } catch (error) {
      frame.note("");
      frame.fail(error);
    }
  }

  const fromPath = () => setSource({ kind: "path", source: path.value.trim() });
  scope.listen(look, "click", fromPath);
  scope.listen(path, "keydown", (event) => event.key === "Enter" && fromPath());
  scope.listen(upload, "click", () => file.click());
  scope.listen(file, "change", () => void sendFile());
  scope.listen(frames, "change", () => frames.value !== "" && setSource({ kind: "frame", source: frames.value }));
  for (const control of [namespace, key, aggregate, register, overwrite, missing]) scope.listen(control, "change", () => void plan());

  async function begin() {
    try {
      const reply = await wire.request("place");
      if (reply === null) return;
      const place = reply.data;
      title.replaceChildren("Attach to ", place.dataset);
      spaces.replaceChildren(...place.namespaces.map((/** @type {any} */ n) => el("option", { value: n.name }, n.description)));
      setOptions(frames, [{ value: "", text: "a table of the kernel…" }, ...place.frames.map((/** @type {string} */ f) => ({ value: f, text: f }))]);
      frames.hidden = place.frames.length === 0;
      namespace.value = place.namespace;
      ready(frame);
      if (place.source !== "") {
        if (place.kind === "path") path.value = place.source;
        else frames.value = place.source;
        setSource({ kind: place.kind, source: place.source });
      }
      await writer.begin(place);
    } catch (error) {
      frame.fail(error);
    }
  }
  void begin();
  return () => scope.close();
}

export default { render };
