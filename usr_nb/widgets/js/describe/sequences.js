/** The part about the sequences: lengths, GC, letters, duplicates. */
import { el } from "../lib/dom.js";
import { grouped } from "../lib/numbers.js";
import { bar, histogram } from "./marks.js";
import { nullText, rangeText } from "./words.js";

/** @typedef {import("./words.js").Numbers} Numbers */
/**
 * @typedef {{ lengths: Numbers, gc: Numbers, letters: [string, number][], duplicates: Record<string, { groups: number, records: number }> }} Sequences
 */

const KINDS = { exact: "the same letters", case: "the same but for case", reverse_complement: "reverse complements" };
const MOST_LETTERS = 24;
const percent = { format: ".1%" };

/**
 * @param {Sequences} all @param {Sequences | null} kept
 * @param {{ tell: (text: string) => void, signal: AbortSignal, choose: (kind: string) => void }} place
 */
export function sequenceCards(all, kept, { choose, ...place }) {
  /** @param {string} name @param {Numbers} a @param {Numbers | undefined} b @param {import("./words.js").Info} info */
  const distribution = (name, a, b, info) => {
    const said = rangeText(a, info);
    const box = el("div", { class: "desc-card", "data-testid": `sequence-${name.toLowerCase()}` }, el("h5", {}, name), el("span", { "data-testid": "all" }, said));
    if (b) box.append(el("span", { class: "kept", "data-testid": "kept" }, rangeText(b, info)));
    if (a.histogram) box.append(histogram(a.histogram, b?.histogram ?? null, { width: 240, height: 48, info, label: `Histogram of ${name}: ${said}`, ...place }));
    return box;
  };
  const total = all.letters.reduce((sum, [, n]) => sum + n, 0);
  const some = kept ? new Map(kept.letters) : null;
  const keptTotal = kept ? kept.letters.reduce((sum, [, n]) => sum + n, 0) : 0;
  const letters = all.letters.slice(0, MOST_LETTERS).map(([letter, n]) => {
    const row = el("span", { class: "desc-letter", "data-testid": `letter-${letter}`, title: `${letter}: ${grouped(n)}` }, el("b", {}, letter), bar((100 * n) / total, "all"), nullText((100 * n) / total));
    if (some) row.append(el("small", { class: "kept" }, nullText((100 * (some.get(letter) ?? 0)) / Math.max(1, keptTotal))));
    return row;
  });
  // Lengths of nucleotides and of proteins together have no one unit.
  const unit = all.gc.count === 0 ? { unit: "aa" } : all.gc.count === all.lengths.count ? { unit: "nt" } : {};
  const same = Object.entries(KINDS).map(([kind, words]) => {
    const found = (kept ?? all).duplicates[kind] ?? { groups: 0, records: 0 };
    const whole = all.duplicates[kind];
    const said = found.records === 0 ? "none" : `${grouped(found.records)} in ${grouped(found.groups)} groups`;
    const line = el("span", { "data-testid": `duplicates-${kind}` }, `${words}: ${said}`, ...(kept ? [el("small", {}, `of all: ${grouped(whole?.records ?? 0)}`)] : []));
    if (found.records === 0) return el("div", {}, line);
    const button = el("button", { type: "button", "data-testid": `choose-${kind}`, title: "Make them the filter of this panel, which others may follow, and copy it as Python" }, "as filter");
    button.addEventListener("click", () => choose(kind), { signal: place.signal });
    return el("div", {}, line, button);
  });
  return el("div", { class: "desc-cards", "data-testid": "sequences", role: "group", "aria-label": "Sequences" },
    distribution("Length", all.lengths, kept?.lengths, unit), distribution("GC", all.gc, kept?.gc, percent),
    el("div", { class: "desc-card desc-letters" }, el("h5", {}, "Letters"), ...letters),
    el("div", { class: "desc-card" }, el("h5", {}, "Duplicates"), ...same));
}
