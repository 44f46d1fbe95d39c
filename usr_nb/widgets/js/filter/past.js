/** The states one came through: undo and redo. */

/** @typedef {import("./nodes.js").Node} Node */
/** @typedef {{ chips: Node[], deleted: boolean }} State */

const MOST = 200;

export class Past {
  /** @param {State} state */
  constructor(state) {
    this.now = state;
    /** @type {State[]} */
    this.before = [];
    /** @type {State[]} */
    this.after = [];
  }

  /** Goes on to a state; false where it is the one of now. @param {State} state */
  go(state) {
    if (JSON.stringify(state) === JSON.stringify(this.now)) return false;
    this.before = [...this.before, this.now].slice(-MOST);
    this.after = [];
    this.now = state;
    return true;
  }

  undo() {
    const last = this.before.pop();
    if (last === undefined) return false;
    this.after.push(this.now);
    this.now = last;
    return true;
  }

  redo() {
    const next = this.after.pop();
    if (next === undefined) return false;
    this.before.push(this.now);
    this.now = next;
    return true;
  }
}
