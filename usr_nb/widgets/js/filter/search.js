/** The box that finds text, an expression or a motif, as one chip for each search. */
import { el, Scope } from "../lib/dom.js";
import limits from "../../limits.json" with { type: "json" };

/** @typedef {import("./nodes.js").Node} Node */
/** @typedef {import("./nodes.js").Feature} Feature */

const HOWS = [
  { value: "contains", text: "contains" }, { value: "startswith", text: "starts with" },
  { value: "endswith", text: "ends with" }, { value: "regex", text: "matches regex" },
];
const HINTS = { motif: "TTGACA N{16,18} TATAAT", regex: "^TTGACA.{16,18}TATAAT", other: "text" };

/**
 * @param {{ feature: () => Feature, title: string, motif: boolean, scope: Scope, found: (node: Node) => void, fail: (error: unknown) => void }} options
 */
export function searchForm({ feature, title, motif, scope, found, fail }) {
  const hows = motif ? [{ value: "motif", text: "has motif" }, ...HOWS] : HOWS;
  const how = el("select", { "aria-label": `${title}: how to search`, "data-testid": "how" },
    ...hows.map((h) => el("option", { value: h.value }, h.text)));
  const text = el("input", { type: "search", "data-testid": "find", "aria-label": `${title}: what to find`, spellcheck: "false", maxlength: limits.TEXT_LENGTH });
  const not = el("input", { type: "checkbox", "data-testid": "not" });
  const nocase = el("input", { type: "checkbox", "data-testid": "nocase" });
  const strand = el("select", { "aria-label": "Strand", "data-testid": "strand" },
    el("option", { value: "both" }, "both strands"), el("option", { value: "+" }, "+ strand"), el("option", { value: "-" }, "− strand"));
  const mismatches = el("select", { "aria-label": "Mismatches", "data-testid": "mismatches" },
    ...Array.from({ length: limits.MOTIF_MISMATCHES + 1 }, (_, i) => el("option", { value: i }, i === 1 ? "1 mismatch" : `${i} mismatches`)));
  const from = el("input", { type: "text", inputmode: "numeric", size: 4, "data-testid": "start-from", "aria-label": "Starts at or after, counted from 0", placeholder: "0" });
  const before = el("input", { type: "text", inputmode: "numeric", size: 4, "data-testid": "start-before", "aria-label": "Starts before", placeholder: "end" });
  const circular = el("input", { type: "checkbox", "data-testid": "circular" });
  const add = el("button", { type: "submit", "data-testid": "add" }, "Find");
  const motifs = el("span", { class: "flt-more" }, strand, mismatches,
    el("label", { title: "Where the leftmost letter of a hit may be, counted from 0; the second is not in" }, "starts in [", from, ",", before, ")"),
    el("label", {}, circular, "circular"));
  const cased = el("label", {}, nocase, "ignore case");
  const form = el("form", { class: "flt-search", "data-testid": "search" }, how, text, add, el("label", {}, not, "not"), cased, motifs);
  const fit = () => {
    motifs.hidden = how.value !== "motif";
    cased.hidden = how.value === "motif";
    text.placeholder = how.value === "motif" ? HINTS.motif : how.value === "regex" ? HINTS.regex : HINTS.other;
  };
  fit();
  scope.listen(how, "change", fit);
  scope.listen(form, "submit", (event) => {
    event.preventDefault();
    if (text.value === "") return;
    try {
      const node = made();
      found(not.checked ? { kind: "not", of: node } : node);
    } catch (error) {
      fail(error);
    }
  });

  /** @returns {Node} */
  function made() {
    const of = { feature: feature() };
    if (how.value === "regex") return { kind: "regex", ...of, pattern: text.value, case: !nocase.checked };
    if (how.value !== "motif") return { kind: "text", ...of, how: how.value, text: text.value, case: !nocase.checked };
    return { kind: "motif", ...of, motif: text.value, strand: strand.value, mismatches: Number(mismatches.value), start: window(), circular: circular.checked };
  }

  /** @returns {[number, number] | null} */
  function window() {
    if (from.value.trim() === "" && before.value.trim() === "") return null;
    const ends = [from.value.trim() || "0", before.value.trim() || "2147483647"].map(Number);
    const [a = NaN, b = NaN] = ends;
    if (!Number.isInteger(a) || !Number.isInteger(b)) throw new Error("A motif starts within two whole numbers, as [0, 10).");
    return [a, b];
  }
  return {
    form,
    /** Empties the box once what it found is a chip. */
    clear() {
      text.value = "";
    },
  };
}
