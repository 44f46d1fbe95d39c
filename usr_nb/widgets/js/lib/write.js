/**
 * How a panel writes: it shows a plan, its button confirms that plan once, a job runs in the kernel
 * with progress and cancel, a receipt says what was done. The kernel refuses a plan that was
 * confirmed before or that is stale; then the panel says so and plans again.
 *
 * What was confirmed is remembered until the end is known (earlier.js).
 */
import "./write.css";
import { copyText, el } from "./dom.js";
import { Earlier } from "./earlier.js";
import { grouped, sizeText } from "./numbers.js";
import { fileLine, progressText } from "./writewords.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("./frame.js").Frame} Frame */
/**
 * @typedef {{ kind: string, message: string, hint: string }} Problem
 * @typedef {{ kind: string, path: string, files: number, bytes: number | null }} FileChange
 * @typedef {{ question: string, button: string, counts: Record<string, number>, files: FileChange[],
 *   problems: Problem[], warnings: string[], seconds: number, token: string, digest: string,
 *   writes: boolean, ready: boolean, python: string, needs?: string, lines?: string[] }} Shown
 * @typedef {{ state: string, token?: string, button?: string, receipts: number,
 *   progress?: { stage: string, done: number, total: number | null, unit: string } | null,
 *   receipt?: { summary: string, operation_id: string | null, files: string[], retired: string[], counts: Record<string, number> } | null,
 *   error?: { type: string, message: string, hint: string } | null }} Job
 */

export class Writer {
  /**
   * @param {Frame} frame
   * @param {import("./wire.js").Model & { set?: Function, save_changes?: Function }} model
   * @param {{ panel: string, replan: () => void, done?: (job: Job) => void, words?: (hint: string) => string, lines?: boolean, note?: (plan: any) => { columns?: string[], asked?: any },
   *   again?: (asked: any) => void, ask?: (token: string, remote: string) => Promise<any> }} options lines: the plan's own sentences are shown too; note: what is remembered of a plan; again, ask: see earlier.js
   */
  constructor(frame, model, options) {
    this.frame = frame;
    this.model = model;
    this.options = options;
    this.past = new Earlier(frame, options);
    /** @type {Shown | null} */
    this.plan = null;
    this.running = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.earlier = this.past.element;
    this.question = el("p", { class: "w-question", "data-testid": "question" });
    this.notes = el("ul", { class: "w-notes", "data-testid": "notes" });
    this.problems = el("ul", { class: "w-problems", "data-testid": "problems", "aria-label": "What is wrong" });
    this.confirm = el("button", { type: "button", class: "w-confirm", "data-testid": "confirm", disabled: true }, "Nothing to write");
    this.bar = el("progress", { class: "w-bar", max: 1, "data-testid": "bar", "aria-label": "Progress", hidden: true });
    this.where = el("span", { class: "w-where", "data-testid": "progress" });
    this.stop = el("button", { type: "button", "data-testid": "cancel", hidden: true }, "Cancel");
    this.receipt = el("div", { class: "w-receipt", role: "status", hidden: true, "data-testid": "receipt" });
    this.python = el("code", { "data-testid": "python" });
    this.copy = el("button", { type: "button", "data-testid": "copy-python" }, "Copy as Python");
    this.line = el("div", { class: "w-python", hidden: true }, this.python, this.copy);
    this.element = el("div", { class: "w" }, this.problems, this.question, this.notes,
      el("div", { class: "w-go" }, this.confirm, this.stop, this.bar, this.where), this.receipt, this.line);
    const { scope } = frame;
    scope.listen(this.confirm, "click", () => void this.#go());
    scope.listen(this.stop, "click", () => void this.#cancel());
    scope.listen(this.copy, "click", () => void copyText(this.python.textContent ?? "", this.element));
    scope.onClose(() => clearTimeout(this.timer));
  }

  /**
   * Begins: is a job running, and what became of what was confirmed before?
   * @param {{ dataset: string, root: string }} place
   */
  async begin(place) {
    this.past.key = `usr-nb:${this.options.panel}:${place.root}:${place.dataset}`;
    const job = await this.#ask("job", {});
    const kept = this.past.kept();
    if (job !== null && job.state !== "none" && (job.state === "running" || job.token === kept?.token)) return this.#follow(job);
    await this.past.tell();
  }

  /** @param {Shown | null} plan */
  show(plan) {
    this.plan = plan;
    if (this.running) return;
    this.receipt.hidden = true;
    const p = plan;
    this.question.textContent = p === null ? "" : p.needs ? `Something goes for good: type ${p.needs} above to go on.` : p.question;
    this.problems.replaceChildren(...(p?.problems ?? []).map((x) => el("li", { "data-testid": "problem" }, x.message, ...(x.hint ? [el("small", {}, this.options.words?.(x.hint) ?? x.hint)] : []))));
    this.notes.replaceChildren(
      ...(this.options.lines ? p?.lines ?? [] : []).map((text) => el("li", { "data-testid": "line" }, text)),
      ...(p?.files ?? []).map((f) => el("li", { "data-testid": "file" }, fileLine(f, sizeText))),
      ...(p?.warnings ?? []).map((w) => el("li", { class: "w-warning" }, w)),
    );
    this.confirm.textContent = p?.button ?? "Nothing to write";
    this.confirm.disabled = !p?.ready;
    this.line.hidden = !p?.python;
    this.python.textContent = p?.python ?? "";
  }

  async #go() {
    const plan = this.plan;
    if (plan === null || this.running || !plan.ready) return;
    // A plan is confirmed once: a second click finds the button off, and the kernel would refuse it.
    this.running = true;
    this.confirm.disabled = true;
    this.frame.clear();
    this.past.hide();
    this.past.keep({ token: plan.token, button: plan.button, at: new Date().toISOString(), ...this.options.note?.(plan) });
    try {
      const reply = await this.frame.wire.request("confirm", { token: plan.token, digest: plan.digest });
      if (reply !== null) this.#follow(reply.data);
    } catch (error) {
      this.past.forget();
      this.#ended(error instanceof Error ? error.name : "");
      this.frame.fail(error);
    }
  }

  async #cancel() {
    if (this.plan !== null) await this.#ask("cancel", { token: this.plan.token });
    this.where.textContent = "stopping…";
  }

  /** @param {Job} job */
  #follow(job) {
    if (this.frame.scope.signal.aborted) return;
    if (job.state === "running") {
      this.running = true;
      this.confirm.disabled = true;
      if (this.plan === null && job.token !== undefined)
        this.plan = { question: "", button: job.button ?? "", counts: {}, files: [], problems: [], warnings: [], seconds: 0, token: job.token, digest: "", writes: true, ready: false, python: "" };
      this.stop.hidden = this.bar.hidden = false;
      const p = job.progress;
      if (p?.total) this.bar.value = p.done / p.total;
      else this.bar.removeAttribute("value");
      this.where.textContent = progressText(p ?? null);
      this.timer = setTimeout(() => void this.#ask("job", {}).then((next) => next !== null && this.#follow(next)), limits.JOB_MS);
      return;
    }
    this.past.forget();
    if (job.state === "done") {
      this.#ended("");
      this.#showReceipt(job);
      this.#announce(job.receipts);
      this.options.done?.(job);
      return;
    }
    this.#ended(job.error?.type ?? "");
    if (job.state === "cancelled") {
      this.where.textContent = "cancelled: nothing was written";
      this.options.replan();
    } else if (job.error) this.frame.fail(Object.assign(new Error(job.error.message + (job.error.hint ? `\n${job.error.hint}` : "")), { name: job.error.type }));
  }

  /** @param {string} error the type of the error, "" for none */
  #ended(error) {
    clearTimeout(this.timer);
    this.running = false;
    this.stop.hidden = this.bar.hidden = true;
    this.where.textContent = "";
    if (this.plan !== null) this.plan = { ...this.plan, ready: false };
    // Stale or used: what is there now is looked at again, and shown before anything is confirmed.
    if (error !== "" && error !== "UserAbort") this.options.replan();
  }

  /** @param {Job} job */
  #showReceipt(job) {
    const r = job.receipt;
    if (!r) return;
    this.confirm.textContent = "Done";
    this.receipt.replaceChildren(
      el("strong", { "data-testid": "receipt-text" }, r.summary),
      ...r.files.slice(0, 8).map((f) => el("div", { class: "w-file" }, f)),
      ...(r.retired.length > 0 ? [el("div", {}, `${grouped(r.retired.length)} files taken away or put aside`)] : []),
    );
    this.receipt.hidden = false;
    this.frame.live.textContent = r.summary;
  }

  /** One small trait, set once for each write: cells that depend on the panel run once more. @param {number} receipts */
  #announce(receipts) {
    if (this.model.get("receipts") === receipts) return;
    this.model.set?.("receipts", receipts);
    this.model.save_changes?.();
  }

  /** @param {string} op @param {Record<string, unknown>} args @returns {Promise<Job | null>} */
  async #ask(op, args) {
    try {
      return (await this.frame.wire.request(op, args))?.data ?? null;
    } catch (error) {
      this.frame.fail(error);
      return null;
    }
  }
}
