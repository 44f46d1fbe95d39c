/**
 * Decisions that are not saved yet, and those that can be undone. An undo of what is saved is a new
 * decision, which puts the value before back; an undo of what is not saved yet takes it out.
 */

/**
 * @typedef {{ id: string, field: string, value: string, before: string }} Decision value "" unsets
 * @typedef {Decision & { operation: string | null, place: number }} Step
 * @typedef {Decision & { step?: Step, of?: Step, sending?: boolean }} Unsaved step: what it decides; of: what it takes back
 */

export class Queue {
  constructor() {
    /** @type {Unsaved[]} */
    this.unsaved = [];
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
      // What is on its way may be in already: it is taken back by a decision of its own.
      const waiting = this.unsaved.findIndex((u) => u.step === step && !u.sending);
      if (waiting >= 0) this.unsaved.splice(waiting, 1);
      else this.unsaved.push({ ...back, of: step });
      changes.push(back);
    }
    return { place: group[0]?.place ?? 0, changes };
  }

  /** What is to be saved now; it stays until it is known to be in. @param {number} [most] */
  batch(most = Infinity) {
    const taken = this.unsaved.slice(0, most);
    for (const one of taken) one.sending = true;
    const undoes = [...new Set(taken.flatMap((d) => (d.of?.operation ? [d.of.operation] : [])))].join(",");
    return { taken, undoes, decisions: taken.map(({ id, field, value }) => ({ id, field, value })) };
  }

  /**
   * @param {Unsaved[]} taken
   * @param {string | null} operation
   */
  saved(taken, operation) {
    for (const one of taken) if (one.step) one.step.operation = operation;
    this.unsaved = this.unsaved.filter((u) => !taken.includes(u));
  }

  /**
   * A batch that could not be saved: its marks are taken back, and its undos can be tried again.
   * @param {Unsaved[]} taken
   */
  failed(taken) {
    const lost = new Set(taken.flatMap((t) => (t.step ? [t.step] : [])));
    this.unsaved = this.unsaved.filter((u) => !taken.includes(u) && !(u.of && lost.has(u.of)));
    for (const later of this.unsaved) {
      const first = taken.find((t) => t.id === later.id && t.field === later.field);
      if (first === undefined) continue;
      later.before = first.before;
      if (later.step) later.step.before = first.before;
    }
    this.groups = this.groups.map((g) => g.filter((s) => !lost.has(s))).filter((g) => g.length > 0);
    for (const one of taken) if (one.of) this.groups.push([one.of]);
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
