/**
 * What was begun and is not known to have ended. Its token is kept in the browser until then, so
 * that a panel that comes back after its kernel was killed can ask whether it is in.
 */
import { el } from "./dom.js";
import { earlierText } from "./writewords.js";

/**
 * @typedef {{ token: string, button: string, at: string, columns?: string[], asked?: any }} Begun columns: those that were to be registered; asked: of what the plan was made
 * @typedef {{ is_in: boolean | null, remote: string, operation_id: string, counts: Record<string, number> | null, registered: string[] }} Outcome
 */

export class Earlier {
  /**
   * @param {import("./frame.js").Frame} frame
   * @param {{ again?: (asked: any) => void, ask?: (token: string, remote: string) => Promise<Outcome | null> }} [options] again: plans anew what was asked; ask: asks a remote
   */
  constructor(frame, options = {}) {
    this.frame = frame;
    this.options = options;
    this.key = "";
    /** @type {{ begun: Begun, remote: string } | null} what only a remote can tell */
    this.open = null;
    this.text = el("span", {});
    this.actions = el("span", { class: "w-earlier-do" });
    this.element = el("div", { class: "w-earlier", role: "status", hidden: true, "data-testid": "earlier" }, this.text, this.actions);
  }

  /** Asks the kernel what became of it, and says so. */
  async tell() {
    const begun = this.kept();
    if (begun === null) return;
    const columns = (begun.columns ?? []).map((name) => ({ name }));
    const reply = await this.frame.wire.request("outcome", { token: begun.token, columns }).catch(this.frame.fail);
    if (reply) this.#show(begun, reply.data);
  }

  /** Asks the remote that is the only one to know. */
  async ask() {
    const open = this.open;
    if (open === null || this.options.ask === undefined) return;
    this.actions.replaceChildren(` asking ${open.remote}…`);
    try {
      const found = await this.options.ask(open.begun.token, open.remote);
      if (found !== null) return this.#show(open.begun, found);
    } catch (error) {
      this.frame.fail(error);
    }
    this.#offerToAsk(open.remote);
  }

  /** @param {Begun} begun @param {Outcome} found */
  #show(begun, found) {
    this.text.textContent = earlierText(begun, found);
    this.element.dataset["in"] = String(found.is_in);
    this.element.hidden = false;
    this.actions.replaceChildren();
    this.open = found.is_in === null ? { begun, remote: found.remote } : null;
    if (found.is_in === null) return this.#offerToAsk(found.remote);
    this.forget();
    if (!found.is_in && begun.asked !== undefined && this.options.again !== undefined)
      this.#offer("again-earlier", "Plan it again", () => { this.hide(); this.options.again?.(begun.asked); });
  }

  /** @param {string} remote */
  #offerToAsk(remote) {
    this.#offer("ask-earlier", `Ask ${remote}`, () => void this.ask());
  }

  /** @param {string} name @param {string} text @param {() => void} act */
  #offer(name, text, act) {
    const button = el("button", { type: "button", "data-testid": name }, text);
    button.addEventListener("click", act);
    this.actions.replaceChildren(button);
  }

  hide() {
    this.element.hidden = true;
    this.open = null;
  }

  /** @returns {Begun | null} */
  kept() {
    try {
      return JSON.parse(localStorage.getItem(this.key) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {Begun} what */
  keep(what) {
    try {
      localStorage.setItem(this.key, JSON.stringify(what));
    } catch {
      // A browser that keeps nothing: the log still tells.
    }
  }

  forget() {
    try {
      localStorage.removeItem(this.key);
    } catch {
      // As above.
    }
  }
}
