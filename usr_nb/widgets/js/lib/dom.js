/** Building elements, and taking everything down again. Strings become text nodes, never HTML. */

/** @typedef {string | number | boolean | null | undefined} Value */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, Value>} [attributes] null, undefined and false are left out
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/**
 * Fills a select with options, keeping what was chosen if it is still there.
 * @param {HTMLSelectElement} select
 * @param {{ value: string, text: string }[]} options
 */
export function setOptions(select, options) {
  const chosen = select.value;
  select.replaceChildren(...options.map((o) => el("option", { value: o.value }, o.text)));
  if (options.some((o) => o.value === chosen)) select.value = chosen;
}

/** Everything that must end with a view: listeners, observers, timers. */
export class Scope {
  constructor() {
    this.controller = new AbortController();
  }

  /** For addEventListener: the listener goes when the view does. */
  get signal() {
    return this.controller.signal;
  }

  /** @param {() => void} undo */
  onClose(undo) {
    this.signal.addEventListener("abort", undo, { once: true });
  }

  /**
   * @param {EventTarget} target
   * @param {string} type
   * @param {(event: any) => void} listener
   * @param {AddEventListenerOptions} [options]
   */
  listen(target, type, listener, options = {}) {
    target.addEventListener(type, listener, { ...options, signal: this.signal });
  }

  close() {
    this.controller.abort();
  }
}

/** Says whether the host's page is dark: by its own mark, else by the system's wish. */
export function hostIsDark() {
  const { body, documentElement: html } = document;
  const lab = body.dataset["jpThemeLight"];
  if (lab !== undefined) return lab === "false";
  if (body.dataset["vscodeThemeKind"] !== undefined)
    return /dark|contrast$/.test(body.dataset["vscodeThemeKind"] ?? "");
  const classes = [...body.classList, ...html.classList];
  if (classes.some((c) => c === "dark" || c === "dark-theme")) return true;
  if (classes.some((c) => c === "light" || c === "light-theme")) return false;
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/**
 * Keeps `data-theme` of an element as the host's theme, and calls back on a change.
 * @param {HTMLElement} root
 * @param {Scope} scope
 * @param {() => void} [changed]
 */
export function followTheme(root, scope, changed = () => {}) {
  const now = () => (hostIsDark() ? "dark" : "light");
  root.dataset["theme"] = now();
  const set = () => {
    if (root.dataset["theme"] === now()) return;
    root.dataset["theme"] = now();
    changed();
  };
  const observer = new MutationObserver(set);
  for (const element of [document.body, document.documentElement])
    observer.observe(element, { attributes: true });
  scope.onClose(() => observer.disconnect());
  scope.listen(matchMedia("(prefers-color-scheme: dark)"), "change", set);
}

/**
 * Puts text on the clipboard, also where the page is not served safely.
 * @param {string} text
 * @param {HTMLElement} near
 * @returns {Promise<boolean>}
 */
export async function copyText(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "usr-nb-offscreen", "aria-hidden": "true" });
    area.value = text;
    const root = near.getRootNode();
    const focused = /** @type {Document | ShadowRoot} */ (root).activeElement;
    near.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return done;
  }
}
