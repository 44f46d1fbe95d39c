/**
 * Requests to the kernel and replies from it, over custom messages: `experimental.invoke` does not
 * exist in every host. Of each operation one request is in flight and the newest waits behind it;
 * the ones between are dropped. See messages.py for the shapes.
 */
import limits from "../../limits.json" with { type: "json" };

/**
 * @typedef {object} Model What a host gives a front end, as far as it is used here.
 * @property {(name: string) => any} get
 * @property {(name: string, value: any) => void} [set]
 * @property {() => void} [save_changes]
 * @property {(content: any) => void} send
 * @property {(event: string, callback: (...args: any[]) => void) => void} on
 * @property {(event: string, callback?: ((...args: any[]) => void) | null) => void} off
 *
 * @typedef {{ type: string, message: string, hint: string }} Failure
 * @typedef {{ data: any, buffers: DataView[] }} Reply
 * @typedef {{ op: string, args: Record<string, unknown>, resolve: (r: Reply | null) => void, reject: (e: WireError) => void }} Waiting
 */

/** An error that the kernel replied. */
export class WireError extends Error {
  /** @param {Failure} failure */
  constructor(failure) {
    super(failure.message);
    this.name = failure.type;
    this.hint = failure.hint;
  }
}

export class Wire {
  /**
   * @param {Model} model
   * @param {{ onNotice?: (what: string, data: any) => void, onWaiting?: (slow: boolean) => void, patience?: number, firstId?: number }} [options]
   */
  constructor(model, options = {}) {
    this.model = model;
    this.options = options;
    // Two views of one model hear each other's replies: their ids must differ.
    this.last = options.firstId ?? Math.floor(Math.random() * 2 ** 40) * 1000;
    /** @type {Map<string, { id: number, waiting: Waiting, timer: ReturnType<typeof setTimeout> }>} */
    this.flying = new Map();
    /** @type {Map<string, Waiting>} */
    this.next = new Map();
    this.slow = new Set();
    this.closed = false;
    /** @param {any} message @param {DataView[]} [buffers] */
    this.receive = (message, buffers) => this.#receive(message, buffers ?? []);
    model.on("msg:custom", this.receive);
  }

  /**
   * Asks the kernel. Resolves to null where a newer request of the same operation took its place.
   * @param {string} op
   * @param {Record<string, unknown>} [args]
   * @returns {Promise<Reply | null>}
   */
  request(op, args = {}) {
    return new Promise((resolve, reject) => {
      const waiting = { op, args, resolve, reject };
      if (this.closed) return resolve(null);
      if (!this.flying.has(op)) return this.#send(waiting);
      this.next.get(op)?.resolve(null);
      this.next.set(op, waiting);
    });
  }

  /** Stops listening; whoever waits is told that nothing comes. */
  close() {
    this.closed = true;
    this.model.off("msg:custom", this.receive);
    for (const { waiting, timer } of this.flying.values()) {
      clearTimeout(timer);
      waiting.resolve(null);
    }
    for (const waiting of this.next.values()) waiting.resolve(null);
    this.flying.clear();
    this.next.clear();
  }

  /** @param {Waiting} waiting */
  #send(waiting) {
    const id = ++this.last;
    const patience = this.options.patience ?? limits.PATIENCE_MS;
    const timer = setTimeout(() => this.#setSlow(id, true), patience);
    this.flying.set(waiting.op, { id, waiting, timer });
    this.model.send({ kind: "request", id, op: waiting.op, args: waiting.args });
  }

  /** @param {any} message @param {DataView[]} buffers */
  #receive(message, buffers) {
    if (message?.kind === "notice") return this.options.onNotice?.(message.what, message.data);
    if (message?.kind !== "reply") return;
    // A reply to a request of an earlier view of the same model, or one that came twice: stale.
    const op = [...this.flying.entries()].find(([, f]) => f.id === message.id)?.[0];
    const flying = op === undefined ? undefined : this.flying.get(op);
    if (op === undefined || flying === undefined) return;
    if (message.ok && message.op !== op) return;
    clearTimeout(flying.timer);
    this.flying.delete(op);
    this.#setSlow(flying.id, false);
    const next = this.next.get(op);
    if (next !== undefined) {
      this.next.delete(op);
      this.#send(next);
    }
    if (message.ok) flying.waiting.resolve({ data: message.data, buffers });
    else flying.waiting.reject(new WireError(message.error));
  }

  /** @param {number} id @param {boolean} slow */
  #setSlow(id, slow) {
    const before = this.slow.size > 0;
    if (slow) this.slow.add(id);
    else this.slow.delete(id);
    const now = this.slow.size > 0;
    if (before !== now) this.options.onWaiting?.(now);
  }
}
