/** The last pages that came, and which of them has a row. */

/** @typedef {import("./record.js").Row} Row */
/** @typedef {{ look: string, start: number, rows: Row[], x0: number, x1: number, whole: boolean }} Page */

const KEPT = 6;

export class Pages {
  constructor() {
    /** @type {Page[]} newest first */
    this.kept = [];
  }

  /** @param {Page} page */
  add(page) {
    this.kept = [page, ...this.kept].slice(0, KEPT);
  }

  clear() {
    this.kept = [];
  }

  /**
   * The row at a place in the list, from the newest page of this look that has it.
   * @param {string} look
   * @param {number} at
   * @returns {Row | null}
   */
  row(look, at) {
    for (const page of this.kept) {
      if (page.look !== look) continue;
      const row = page.rows[at - page.start];
      if (row !== undefined) return row;
    }
    return null;
  }

  /**
   * The first row in [start, end) that no page has whole and with all of these coordinates, or null.
   * @param {string} look
   * @param {number} start
   * @param {number} end
   * @param {number} x0
   * @param {number} x1
   */
  gap(look, start, end, x0, x1) {
    const fit = this.kept.filter((p) => p.look === look && p.whole && p.x0 <= x0 && p.x1 >= x1);
    for (let at = start; at < end; ) {
      const page = fit.find((p) => p.start <= at && at < p.start + p.rows.length);
      if (page === undefined) return at;
      at = page.start + page.rows.length;
    }
    return null;
  }
}
