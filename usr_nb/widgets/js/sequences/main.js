/** The panel *sequences*: wires the tool bar, the canvas and the keys to each other. */
import "../lib/base.css";
import "./sequences.css";
import { copyText, el } from "../lib/dom.js";
import { makeFrame, ready, whileVisible } from "../lib/frame.js";
import { grouped } from "../lib/numbers.js";
import { whyForm } from "../lib/why.js";
import { Controls } from "./controls.js";
import { Viewer } from "./viewer.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("../lib/wire.js").Model} Model */

/** @param {{ model: Model, el: HTMLElement }} host */
function render(host) {
  const controls = new Controls();
  const frame = makeFrame(host, {
    name: "sequences",
    label: "Sequences",
    onTheme: () => viewer?.draw(),
    onNotice: (what) => {
      if (what === "changed") void load("");
    },
  });
  /** @type {Viewer} */
  const viewer = new Viewer(frame, controls);
  const said = el("span", { "data-testid": "said", role: "status" });
  const cell = whyForm(frame);
  cell.form.hidden = true;
  const listening = el("span", { class: "seq-listening", "aria-hidden": "true" }, "keys: ? for help");
  frame.body.append(
    controls.bar, controls.keys, viewer.element, viewer.letters, cell.form,
    el("div", { class: "usr-nb-foot" }, viewer.where, viewer.fetched, said, listening, controls.help),
  );
  const { scope, wire } = frame;

  /** The state of the dataset that is shown. */
  let version = "";

  /** Learns what there is, from the start or after a change. @param {string} why */
  async function load(why) {
    try {
      const reply = await wire.request("overview");
      if (reply === null) return;
      version = reply.data.version;
      controls.offer(reply.data);
      viewer.total = reply.data.rows;
      viewer.maxLength = reply.data.max_length;
      viewer.pages.clear();
      viewer.failed = "";
      ready(frame);
      frame.clear();
      if (why !== "") said.textContent = why;
      viewer.moveTo({});
      await offerMore();
    } catch (error) {
      frame.fail(error);
    }
  }

  async function offerMore() {
    const reply = await wire.request("options", { features: controls.features.value });
    if (reply === null) return;
    const before = controls.align.value;
    controls.offerMore(reply.data);
    if (controls.align.value !== before) viewer.home();
    else viewer.refresh();
  }

  async function copyFasta() {
    const [first, last] = viewer.selected;
    const count = Math.min(last - first + 1, limits.PAGE_ROWS);
    const args = { start: first, count, reverse: viewer.turned, name: controls.name.value };
    const reply = await wire.request("fasta", args);
    if (reply === null) return;
    const done = await copyText(reply.data.text, frame.root);
    const rest = last - first + 1 - reply.data.copied;
    said.textContent = !done
      ? "The browser refused the clipboard."
      : `Copied ${grouped(reply.data.copied)} as FASTA${viewer.turned ? " (RC)" : ""}` +
        (rest > 0 ? `; ${grouped(rest)} more did not fit` : "");
  }

  async function copyId() {
    const row = viewer.pages.row(viewer.lookKey, viewer.selection[1]);
    if (row === null) return;
    said.textContent = (await copyText(row.id, frame.root)) ? `Copied ${row.id}` : "The browser refused the clipboard.";
  }

  async function goTo() {
    const text = controls.go.value.trim();
    if (text === "") return;
    const reply = await wire.request("find", { text });
    if (reply === null) return;
    frame.clear();
    viewer.select(reply.data.at);
    viewer.moveTo({ top: reply.data.at - Math.floor(viewer.visibleRows / 2) });
    viewer.scroller.focus();
  }

  /** Where a value of a row comes from; again closes it. @param {number} at @param {string} column */
  async function why(at, column) {
    let row = viewer.pages.row(viewer.lookKey, at);
    // What was just chosen may still be on its way.
    for (let n = 0; row === null && n < 60 && !scope.signal.aborted; n++) {
      await new Promise((go) => setTimeout(go, 50));
      row = viewer.pages.row(viewer.lookKey, at);
    }
    if (row === null) return;
    cell.askFor(row.id, column);
    cell.column.focus();
    cell.column.select();
    void cell.offer();
  }

  function whyOfSelected() {
    if (!cell.form.hidden) return void (cell.form.hidden = true);
    void why(viewer.selection[1], viewer.columnOf(null));
  }

  function turn() {
    const all = [...viewer.seen].every((type) => type === "protein") && viewer.seen.size > 0;
    if (all) {
      said.textContent = "Proteins have no reverse complement.";
      return;
    }
    viewer.turned = !viewer.turned;
    controls.turn.setAttribute("aria-pressed", String(viewer.turned));
    viewer.refresh();
  }

  function help() {
    controls.keys.hidden = !controls.keys.hidden;
    controls.help.setAttribute("aria-pressed", String(!controls.keys.hidden));
  }

  /** @param {() => Promise<void>} task */
  const run = (task) => () => void task().catch(frame.fail);
  const changed = () => {
    viewer.failed = "";
    viewer.refresh();
  };

  scope.listen(controls.align, "change", () => viewer.home());
  scope.listen(controls.against, "change", () => {
    const row = viewer.pages.row(viewer.lookKey, viewer.selection[1]);
    viewer.record = row?.id ?? viewer.record;
    changed();
  });
  scope.listen(controls.features, "change", run(async () => { changed(); await offerMore(); }));
  for (const select of [controls.track, controls.name, controls.mismatches]) scope.listen(select, "change", changed);
  scope.listen(controls.motif, "change", changed);
  scope.listen(controls.motif, "search", changed);
  for (const select of [controls.nt, controls.aa])
    scope.listen(select, "change", () => { controls.explain(viewer.seen); viewer.draw(); });
  scope.listen(controls.go, "keydown", (event) => { if (event.key === "Enter") run(goTo)(); });
  scope.listen(controls.turn, "click", turn);
  scope.listen(controls.smaller, "click", () => viewer.zoomBy(-1));
  scope.listen(controls.larger, "click", () => viewer.zoomBy(1));
  scope.listen(controls.copy, "click", run(copyFasta));
  scope.listen(controls.help, "click", help);

  const { scroller } = viewer;
  scope.listen(scroller, "scroll", () => viewer.scrolled());
  scope.listen(scroller, "wheel", (event) => viewer.wheel(event), { passive: false });
  scope.listen(scroller, "mousemove", (event) => viewer.point(event));
  scope.listen(scroller, "mouseleave", () => viewer.point(null));
  scope.listen(scroller, "click", (event) => {
    const at = viewer.under(event);
    if (at !== null) viewer.select(at.row, event.shiftKey);
  });
  scope.listen(scroller, "dblclick", (event) => {
    const at = viewer.under(event);
    if (at?.gutter) run(copyId)();
    else if (at) void why(at.row, viewer.columnOf(at));
  });
  scope.listen(cell.form, "keydown", (event) => {
    if (event.key !== "Escape") return;
    cell.form.hidden = true;
    scroller.focus();
  });
  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const keys = {
    ArrowDown: (e) => viewer.select(viewer.selection[1] + 1, e.shiftKey),
    ArrowUp: (e) => viewer.select(viewer.selection[1] - 1, e.shiftKey),
    PageDown: (e) => viewer.select(viewer.selection[1] + Math.floor(viewer.visibleRows), e.shiftKey),
    PageUp: (e) => viewer.select(viewer.selection[1] - Math.floor(viewer.visibleRows), e.shiftKey),
    ArrowRight: (e) => viewer.moveTo({ left: Math.floor(viewer.left) + (e.shiftKey ? 10 : 1) }),
    ArrowLeft: (e) => viewer.moveTo({ left: Math.ceil(viewer.left) - (e.shiftKey ? 10 : 1) }),
    Home: (e) => (e.ctrlKey ? viewer.select(0) : viewer.moveTo({ left: -Infinity })),
    End: (e) => (e.ctrlKey ? viewer.select(viewer.total - 1) : viewer.moveTo({ left: Infinity })),
    c: run(copyFasta), i: run(copyId), r: turn, w: whyOfSelected, g: () => controls.go.focus(), "?": help,
    "+": () => viewer.zoomBy(1), "=": () => viewer.zoomBy(1), "-": () => viewer.zoomBy(-1),
    Escape: () => { if (!controls.keys.hidden) help(); },
  };
  scope.listen(scroller, "keydown", (event) => {
    const moves = event.key.length > 1;
    if (event.altKey || event.metaKey || (event.ctrlKey && !moves)) return;
    const action = keys[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action(event);
  });

  whileVisible(frame, limits.LOOK_MS, async () => {
    if (frame.root.dataset["ready"] !== "true") return;
    const reply = await wire.request("look", { version });
    if (reply?.data.changed) await load("The dataset changed; this is its present state.");
  });
  void load("");
  return () => scope.close();
}

export default { render };
