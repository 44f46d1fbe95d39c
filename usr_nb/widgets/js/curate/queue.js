/**
 * Decisions that are not saved yet, and those that can be undone. An undo of what is saved is a new
 * decision, which puts the value before back; an undo of what is not saved yet takes it out.
 */

/**
 * @typedef {{ id: string, field: string, value: string, before: string }} Decision value "" unsets
 * @typedef {Decision & { operation: string | null, place: number }} Step
 */

export class Queue {
  constructor() {
    /** @type {(Decision & { undoes?: string, step?: Step })[]} */
    this.unsaved = [];
    /** @type {Step[]} */
    this.steps = [];
    /** @type {Step[][]} what is undone together */
    this.groups = [];
  }

  /**
   * One gesture: one or several decisions of one record.
   * @param {Decision[]} decisions
   * @param {number} place where the record stands
   */
  decide(decisions, place) {
    const group = decisions.map((d) => ({ ...d, operation: null, place }));
    for (const step of group) this.unsaved.push({ ...step, step });
    this.groups.push(group);
  }

  /**
   * Takes the last gesture back.
   * @returns {{ place: number, changes: Decision[] } | null} what the record's fields are then
   */
  undo() {
    const group = this.groups.pop();
    if (group === undefined) return null;
    /** @type {Decision[]} */
    const changes = [];
    for (const step of [...group].reverse()) {
      const back = { id: step.id, field: step.field, value: step.before, before: step.value };
      const waiting = this.unsaved.findIndex((u) => u.step === step);
      if (waiting >= 0) this.unsaved.splice(waiting, 1);
      else this.unsaved.push({ ...back, ...(step.operation === null ? {} : { undoes: step.operation }) });
      changes.push(back);
    }
    return { place: group[0]?.place ?? 0, changes };
  }

  /** What is to be saved now; it stays until it is known to be in. */
  batch() {
    const taken = [...this.unsaved];
    const undoes = [...new Set(taken.flatMap((d) => (d.undoes ? [d.undoes] : [])))].join(",");
    return { taken, undoes, decisions: taken.map(({ id, field, value }) => ({ id, field, value })) };
  }

  /**
   * @param {ReturnType<Queue["batch"]>["taken"]} taken
   * @param {string | null} operation
   */
  saved(taken, operation) {
    for (const one of taken) if (one.step) one.step.operation = operation;
    this.unsaved = this.unsaved.filter((u) => !taken.includes(u));
  }
}

/**
 * How a tally changes when a value does.
 * @param {Record<string, number>} counts @param {string} before @param {string} after
 */
export function shifted(counts, before, after) {
  const next = { ...counts, [before]: (counts[before] ?? 0) - 1 };
  next[after] = (next[after] ?? 0) + 1;
  return next;
}

/** Letters in lines of sixty, in tens, each line with the number of its first letter (1-based). @param {string} sequence */
export function letterLines(sequence) {
  const lines = [];
  for (let at = 0; at < sequence.length; at += 60)
    lines.push({ from: at + 1, letters: (sequence.slice(at, at + 60).match(/.{1,10}/g) ?? []).join(" ") });
  return lines;
}
