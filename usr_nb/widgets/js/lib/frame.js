/** What stands around every panel: title, messages, the summary for a page without a kernel. */
import { el, followTheme, Scope } from "./dom.js";
import { Wire, WireError } from "./wire.js";

/** @typedef {import("./wire.js").Model} Model */

/**
 * @typedef {object} Frame
 * @property {HTMLElement} root
 * @property {HTMLElement} body Where the panel draws.
 * @property {HTMLElement} title
 * @property {HTMLElement} live What a screen reader is told.
 * @property {Scope} scope
 * @property {Wire} wire
 * @property {(error: unknown) => void} fail Shows an error.
 * @property {(text: string) => void} note Shows a remark; an empty one takes it away.
 * @property {() => void} clear Takes the last error away.
 */

/**
 * Builds the frame of a panel in a host's element.
 * @param {{ model: Model, el: HTMLElement }} host
 * @param {{ name: string, label: string, onNotice?: (what: string, data: any) => void, onTheme?: () => void }} options
 * @returns {Frame}
 */
export function makeFrame({ model, el: place }, { name, label, onNotice, onTheme }) {
  const scope = new Scope();
  const root = el("section", {
    class: `usr-nb usr-nb-${name}`,
    "data-testid": `usr-nb-${name}`,
    "aria-label": label,
    // JupyterLab's own keys (`d d` deletes the cell) must not see what is typed here.
    "data-lm-suppress-shortcuts": "true",
  });
  const title = el("span", { class: "usr-nb-title", "data-testid": "title" });
  const bad = el("span", { "data-testid": "error" });
  const close = el("button", { type: "button", "aria-label": "Dismiss this message" }, "×");
  const error = el("div", { class: "usr-nb-notice bad", role: "alert", hidden: true }, bad, close);
  const remark = el("div", { class: "usr-nb-notice note", role: "status", hidden: true, "data-testid": "note" });
  const live = el("div", { class: "usr-nb-offscreen", "aria-live": "polite", "data-testid": "live" });
  const summary = el("pre", { class: "usr-nb-summary", "data-testid": "summary" });
  summary.textContent = String(model.get("summary") ?? "");
  const body = el("div", { class: "usr-nb-body", hidden: true });
  root.append(error, remark, summary, body, live);
  place.append(root);
  scope.onClose(() => root.remove());
  scope.listen(close, "click", () => (error.hidden = true));
  scope.listen(root, "keydown", (event) => event.stopPropagation());
  followTheme(root, scope, onTheme);

  /** @param {string} text */
  const note = (text) => {
    remark.textContent = text;
    remark.hidden = text === "";
  };
  const wire = new Wire(model, {
    onWaiting: (slow) => note(slow ? "The kernel does not answer yet: it is busy, or this page has none." : ""),
    ...(onNotice ? { onNotice } : {}),
  });
  scope.onClose(() => wire.close());
  return {
    root, body, title, live, scope, wire, note,
    fail(cause) {
      const hint = cause instanceof WireError && cause.hint ? `\n${cause.hint}` : "";
      bad.textContent = (cause instanceof Error ? cause.message : String(cause)) + hint;
      error.hidden = false;
    },
    clear() {
      error.hidden = true;
    },
  };
}

/**
 * Puts the panel in place of the summary, once there is something to show.
 * @param {Frame} frame
 */
export function ready(frame) {
  frame.body.hidden = false;
  for (const summary of frame.root.querySelectorAll(".usr-nb-summary"))
    /** @type {HTMLElement} */ (summary).hidden = true;
  frame.root.dataset["ready"] = "true";
}

/**
 * Asks every `every` milliseconds while the panel can be seen, and not while the page is hidden.
 * @param {Frame} frame
 * @param {number} every
 * @param {() => Promise<void>} ask
 */
export function whileVisible(frame, every, ask) {
  let seen = true;
  const observer = new IntersectionObserver((entries) => (seen = entries.at(-1)?.isIntersecting ?? true));
  observer.observe(frame.root);
  let busy = false;
  const timer = setInterval(() => {
    if (!seen || busy || document.hidden) return;
    busy = true;
    ask()
      .catch(frame.fail)
      .finally(() => (busy = false));
  }, every);
  frame.scope.onClose(() => {
    observer.disconnect();
    clearInterval(timer);
  });
}
