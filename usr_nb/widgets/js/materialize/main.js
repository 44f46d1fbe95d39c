/** The panel *materialize*: overlays and parts, what changes per column, keep, archive or drop. */
import "../lib/base.css";
import "./materialize.css";
import { el, setOptions } from "../lib/dom.js";
import { makeFrame, ready } from "../lib/frame.js";
import { grouped, sizeText } from "../lib/numbers.js";
import { part, table, tile } from "../lib/tables.js";
import { Writer } from "../lib/write.js";

/** @typedef {import("../lib/wire.js").Model} Model */

/** @param {{ model: Model, el: HTMLElement }} host */
function render(host) {
  const frame = makeFrame(host, { name: "materialize", label: "Materialize" });
  const { scope, wire } = frame;
  const title = el("span", { class: "usr-nb-title" });
  const check = (/** @type {string} */ name, /** @type {boolean} */ on) => {
    const box = el("input", { type: "checkbox", "data-testid": name });
    box.checked = on;
    return box;
  };
  const overlays = el("div", { class: "w-scroll", "data-testid": "overlays" });
  const fate = el("select", { "data-testid": "fate" });
  setOptions(fate, [
    { value: "keep", text: "stay as they are" }, { value: "archive", text: "are put aside" }, { value: "drop", text: "are dropped for good" },
  ]);
  const snapshot = check("snapshot", true);
  const deleted = check("drop-deleted", false);
  const reason = el("input", { type: "text", "data-testid": "reason", placeholder: "why (optional)", maxlength: 400 });
  const typed = el("input", { type: "text", "data-testid": "typed", maxlength: 400 });
  const typing = el("label", { hidden: true }, "type the dataset's name", typed);
  const tiles = el("div", { class: "w-tiles", role: "status" });
  const details = el("div", {});
  const writer = new Writer(frame, host.model, { panel: "materialize", replan: () => void again(), done: () => void load() });
  frame.body.append(
    el("div", { class: "usr-nb-bar" }, title), writer.earlier,
    el("p", { class: "mt-rarely", "data-testid": "rarely" }, "You rarely need this: reads already include overlays."),
    part("Overlays", overlays),
    el("div", { class: "mt-how" }, el("label", {}, "overlay files", fate), el("label", {}, snapshot, "snapshot before"),
      el("label", {}, deleted, el("span", { "data-testid": "deleted" }, "drop deleted records")), el("label", {}, "reason", reason), typing),
    tiles, details, writer.element,
  );
  /** @type {string[]} */
  let chosen = [];
  /** @type {{ namespace: string, single_file: boolean } | null} a compaction instead */
  let compact = null;

  const wanted = () => ({
    namespaces: chosen.map((name) => ({ name })), overlays: fate.value, snapshot: snapshot.checked,
    drop_deleted: deleted.checked, reason: reason.value, typed: typed.value,
  });

  async function again() {
    writer.show(null);
    if (compact === null && chosen.length === 0 && !deleted.checked) {
      tiles.replaceChildren();
      details.replaceChildren();
      return;
    }
    try {
      const reply = compact === null ? await wire.request("plan", wanted()) : await wire.request("compact", { ...compact, reason: reason.value });
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
    typing.hidden = compact !== null || !(fate.value === "drop" || deleted.checked);
    if (p === null) {
      tiles.replaceChildren();
      details.replaceChildren();
      writer.show(null);
      frame.fail(new Error(answer.refused.message + (answer.refused.hint ? `\n${answer.refused.hint}` : "")));
      return;
    }
    if (p.action === "compact_overlay") {
      tiles.replaceChildren(tile("parts", "files now", p.parts), tile("keys", "rows of the one file", p.rows), tile("bytes", "size now", sizeText(p.bytes)));
      details.replaceChildren();
    } else {
      const cells = p.columns.reduce((/** @type {number} */ n, /** @type {any} */ c) => n + c.changed, 0);
      tiles.replaceChildren(tile("rows", "rows of the base afterwards", p.rows), tile("cells", "cells that change", cells),
        tile("dropped", "records that go", p.dropped, p.dropped > 0), tile("seconds", "estimated", `${Math.max(p.seconds, 0.1).toFixed(1)} s`));
      details.replaceChildren(part("What changes per column", el("div", { class: "w-scroll" },
        table(["column", "type", "", "values", "cells that change", "for example"], p.columns.map((/** @type {any} */ c) => [
          c.name, c.type, c.new ? "new" : "", c.values, c.changed,
          c.examples.map((/** @type {any} */ e) => `${e.id.slice(0, 8)}: ${e.before} → ${e.after}`).join("; ") || null,
        ]), "column-changes"))));
    }
    writer.show(p);
    frame.live.textContent = p.question;
  }

  async function load() {
    const reply = await wire.request("place");
    if (reply === null) return null;
    const place = reply.data;
    title.replaceChildren("Materialize ", place.dataset, el("small", {}, `${grouped(place.rows)} records`));
    frame.root.querySelector('[data-testid="deleted"]')?.replaceChildren(`drop ${grouped(place.deleted)} deleted records`);
    deleted.disabled = place.deleted === 0;
    const names = place.overlays.map((/** @type {any} */ o) => o.name);
    chosen = chosen.filter((n) => names.includes(n));
    overlays.replaceChildren(table(["", "namespace", "files", "rows", "size", "key", ""], place.overlays.map((/** @type {any} */ o) => {
      const box = check(`take-${o.name}`, chosen.includes(o.name));
      box.setAttribute("aria-label", `Materialize ${o.name}`);
      box.addEventListener("change", () => {
        compact = null;
        chosen = box.checked ? [...chosen, o.name].sort() : chosen.filter((n) => n !== o.name);
        void again();
      });
      const fold = el("button", { type: "button", "data-testid": `compact-${o.name}`, title: "Rewrite its files into one; reads stay the same" }, "Compact…");
      fold.disabled = o.parts < 2;
      fold.addEventListener("click", () => {
        compact = { namespace: o.name, single_file: false };
        void again();
      });
      return [box, o.name, o.parts, o.rows, sizeText(o.bytes), o.key, fold];
    }), "overlay"));
    return place;
  }

  for (const control of [fate, snapshot, deleted, reason, typed])
    scope.listen(control, "change", () => {
      if (control !== reason) compact = null;
      void again();
    });

  async function begin() {
    try {
      const place = await load();
      if (place === null) return;
      ready(frame);
      await writer.begin(place);
    } catch (error) {
      frame.fail(error);
    }
  }
  void begin();
  return () => scope.close();
}

export default { render };
