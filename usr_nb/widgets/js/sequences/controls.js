/** The tool bar of the sequence view: what can be chosen, and what is. */
import { el, setOptions } from "../lib/dom.js";
import { AMINO_ACIDS, colourOf, inkOn, NUCLEOTIDES } from "./colors.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("./geometry.js").Align} Align */
/**
 * @typedef {object} Look What is asked of the kernel besides rows and window: analysis.sequences.Look.
 * @property {Align} align @property {string} at @property {"nothing" | "record" | "parent"} against
 * @property {string} record @property {string} features @property {string} track @property {string} name
 * @property {string} motif @property {number} mismatches
 */
/**
 * @typedef {object} Overview
 * @property {string} dataset @property {number} rows @property {number} max_length
 * @property {string[]} feature_columns @property {string[]} track_columns @property {string[]} name_columns
 * @property {string[]} anchor_columns @property {boolean} parents
 */
/** @typedef {{ labels: string[], tracks: Record<string, [number, number]>, sampled: number }} Offers */

/** @param {string} name @param {string} text @param {HTMLElement} control */
const labelled = (name, text, control) => {
  control.setAttribute("data-testid", name);
  return el("label", {}, text, control);
};

/** @param {string} column */
const short = (column) => column.replace("__", " · ");

export const KEYS = [
  ["↑ ↓", "select a row; with Shift several"], ["← →", "move by a letter; with Shift by ten"],
  ["Page ↑ ↓", "a screen up or down"], ["Home End", "first or last letter; with Ctrl first or last row"],
  ["c", "copy the selected rows as FASTA"], ["i", "copy the whole id"], ["r", "reverse complement"],
  ["+ −", "larger or smaller letters"], ["g", "go to a row or an id"],
  ["w, double click", "why? which part set the value"], ["?", "these keys"],
];

export class Controls {
  constructor() {
    this.title = el("span", { class: "usr-nb-title", "data-testid": "title" });
    this.nt = el("select", {}, ...options(NUCLEOTIDES));
    this.aa = el("select", {}, ...options(AMINO_ACIDS));
    this.align = el("select");
    this.against = el("select");
    this.features = el("select");
    this.track = el("select");
    this.name = el("select");
    this.motif = el("input", { type: "search", placeholder: "TTGACA N{16,18} TATAAT", size: 22, spellcheck: "false", maxlength: 200 });
    this.mismatches = el("select", { "aria-label": "Mismatches", "data-testid": "mismatches" });
    this.go = el("input", { type: "search", placeholder: "row number or id", spellcheck: "false", maxlength: 100 });
    this.turn = button("turn", "RC", "Reverse complement (r)", true);
    this.smaller = button("smaller", "−", "Smaller letters (-)");
    this.larger = button("larger", "+", "Larger letters (+)");
    this.copy = button("copy", "Copy FASTA", "Copy the selected rows as FASTA (c)");
    this.help = button("help", "?", "The keys (?)", true);
    this.legend = el("span", { class: "seq-legend", "aria-hidden": "true", "data-testid": "legend" });
    this.ntLabel = labelled("colours-nt", "colours", this.nt);
    this.aaLabel = labelled("colours-aa", "amino acids", this.aa);
    this.featuresLabel = labelled("features", "features", this.features);
    this.trackLabel = labelled("track", "track", this.track);
    this.nameLabel = labelled("name", "name", this.name);
    this.motifLabel = labelled("motif", "motif", this.motif);
    this.keys = el("div", { class: "usr-nb-keys", "data-testid": "keys", hidden: true },
      ...KEYS.map(([key, text]) => el("span", {}, el("kbd", {}, key ?? ""), ` ${text}`)));
    setOptions(this.mismatches, Array.from({ length: limits.MOTIF_MISMATCHES + 1 }, (_, n) =>
      ({ value: String(n), text: n === 0 ? "exact" : `≤ ${n} off` })));
    this.bar = el("div", { class: "usr-nb-bar", role: "toolbar", "aria-label": "How the sequences are shown" },
      this.title, labelled("go", "go to", this.go), labelled("align", "align", this.align),
      labelled("against", "compare", this.against), this.featuresLabel, this.trackLabel, this.nameLabel,
      this.motifLabel, this.mismatches, this.ntLabel, this.aaLabel, this.legend,
      this.turn, this.smaller, this.larger, this.copy);
    this.chosenTrack = false;
  }

  /** @param {Overview} there */
  offer(there) {
    this.title.replaceChildren(there.dataset, el("small", { "data-testid": "records" },
      `${there.rows.toLocaleString("en-US")} records`));
    setOptions(this.features, withNone(there.feature_columns));
    // A feature column is what most come for: it is shown from the start.
    if (!this.features.dataset["set"] && there.feature_columns[0]) this.features.value = there.feature_columns[0];
    setOptions(this.name, withNone(there.name_columns, "id"));
    if (!this.features.dataset["set"] && there.name_columns[0]) this.name.value = there.name_columns[0];
    this.features.dataset["set"] = "true";
    this.featuresLabel.hidden = there.feature_columns.length === 0;
    this.nameLabel.hidden = there.name_columns.length === 0;
    setOptions(this.against, [
      { value: "nothing", text: "–" }, { value: "record", text: "the selected row" },
      ...(there.parents ? [{ value: "parent", text: "its parent" }] : []),
    ]);
    this.anchors = there.anchor_columns;
    this.offerMore({ labels: [], tracks: {}, sampled: 0 });
  }

  /** @param {Offers} offers */
  offerMore(offers) {
    setOptions(this.align, [
      { value: "start", text: "start" }, { value: "end", text: "end" },
      ...(this.anchors ?? []).map((c) => ({ value: `column ${c}`, text: `${short(c)} = +1` })),
      ...offers.labels.map((l) => ({ value: `feature ${l}`, text: /^tss$/i.test(l) ? "TSS = +1" : l })),
    ]);
    setOptions(this.track, withNone(Object.keys(offers.tracks)));
    this.trackLabel.hidden = Object.keys(offers.tracks).length === 0;
    this.tracks = offers.tracks;
  }

  /** @param {string} record the row that is compared with @returns {Look} */
  look(record) {
    const [align, ...at] = this.align.value.split(" ");
    const against = /** @type {Look["against"]} */ (this.against.value || "nothing");
    return {
      align: /** @type {Align} */ (align || "start"), at: at.join(" "),
      against, record: against === "record" ? record : "",
      features: this.features.value, track: this.track.value, name: this.name.value,
      motif: this.motif.value.trim(), mismatches: Number(this.mismatches.value || 0),
    };
  }

  /** The scale of the chosen track, or null. @returns {[number, number] | null} */
  scale() {
    return this.tracks?.[this.track.value] ?? null;
  }

  get colours() {
    return { nt: this.nt.value, aa: this.aa.value };
  }

  /** Shows the colours of the letters that were seen. @param {Set<string>} bioTypes */
  explain(bioTypes) {
    const protein = bioTypes.has("protein");
    const nucleic = bioTypes.size === 0 || [...bioTypes].some((t) => t !== "protein");
    this.ntLabel.hidden = !nucleic;
    this.aaLabel.hidden = !protein;
    this.motifLabel.hidden = this.mismatches.hidden = !nucleic;
    const letters = nucleic ? [..."ACG", bioTypes.has("rna") && !bioTypes.has("dna") ? "U" : "T"] : [];
    this.legend.replaceChildren(...letters.map((letter) => {
      const colour = colourOf(letter, "dna", this.colours) ?? "#888888";
      const mark = el("span", {}, letter);
      mark.style.background = colour;
      mark.style.color = inkOn(colour);
      return mark;
    }));
  }
}

/** @param {Record<string, { label: string }>} schemes */
const options = (schemes) =>
  Object.entries(schemes).map(([value, { label }]) => el("option", { value }, label));

/** @param {string[]} columns @param {string} [none] */
const withNone = (columns, none = "–") => [
  { value: "", text: none }, ...columns.map((c) => ({ value: c, text: short(c) })),
];

/** @param {string} name @param {string} text @param {string} label @param {boolean} [pressed] */
const button = (name, text, label, pressed = false) =>
  el("button", { type: "button", "data-testid": name, "aria-label": label, title: label,
    "aria-pressed": pressed ? "false" : null }, text);
