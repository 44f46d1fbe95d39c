import assert from "node:assert/strict";
import { test } from "node:test";
import { lengthText, scoreText, sizeText } from "../../../usr_nb/widgets/js/lib/numbers.js";
import { changeLines, comparisonLines, counted, utcText } from "../../../usr_nb/widgets/js/history/words.js";
import { localTime, roleText, setterText } from "../../../usr_nb/widgets/js/lib/whywords.js";
import { AMINO_ACIDS, colourOf, featureColour, inkOn, NUCLEOTIDES } from "../../../usr_nb/widgets/js/sequences/colors.js";
import { Pages } from "../../../usr_nb/widgets/js/sequences/pages.js";

test("numbers as people read them", () => {
  assert.deepEqual([0.12345, 123456, 1234567, 0.0001, 0, NaN, null].map(scoreText),
    ["0.1235", "123500", "1.235e+6", "1.000e-4", "0", "NaN", "–"]);
  assert.equal(lengthText(60, "dna"), "60 nt");
  assert.equal(lengthText(1238, "protein"), "1,238 aa");
  assert.equal(sizeText(7080), "7.1 KB");
  assert.equal(counted(1, "event"), "1 event");
  assert.equal(counted(12345, "event"), "12,345 events");
});

test("times are local, and what is no time stays as it is", () => {
  assert.equal(localTime("2026-01-31T23:30:00.000000Z", "Europe/Berlin"), "2026-02-01 00:30:00");
  assert.equal(localTime("soon"), "soon");
  assert.equal(localTime(""), "–");
  assert.equal(utcText(""), "");
  assert.match(utcText("2026-01-31T12:00"), /^2026-01-3\dT\d\d:00:00\.000000Z$/);
});

test("a comparison says what is known and nothing else", () => {
  const moment = { line: 0, at: "2026-01-01T00:00:00.000000Z", rows: 10, cols: 7, size_bytes: null };
  const lines = comparisonLines({
    before: moment, after: { ...moment, rows: 8 }, events: 1, actions: { materialize: 1 },
    records_added: 0, records_deleted: 2, records_restored: 0, written: {},
  });
  assert.deepEqual(lines, [
    "1 event in between: materialize 1", "rows of the base: 10 → 8 (−2)", "columns of the base: 7 → 7 (±0)",
    "0 records imported, 2 records deleted, 0 records restored",
  ]);
});

test("every letter has a colour in every scheme, and ink that can be read on it", () => {
  for (const { scheme } of Object.values(NUCLEOTIDES)) for (const c of "ACGTU") assert.match(scheme[c] ?? "", /^#[0-9a-f]{6}$/);
  for (const { scheme } of Object.values(AMINO_ACIDS))
    for (const c of "ACDEFGHIKLMNPQRSTVWY") assert.match(scheme[c] ?? "", /^#[0-9a-f]{6}$/, c);
  assert.equal(colourOf("a", "dna", { nt: "jalview", aa: "clustal" }), "#64f73f");
  assert.equal(colourOf("N", "dna", { nt: "jalview", aa: "clustal" }), null);
  assert.equal(inkOn("#ffff00"), "#000000");
  assert.equal(inkOn("#0000c8"), "#ffffff");
  assert.equal(featureColour("lexA"), featureColour("lexA"));
});

test("pages know what they do not have", () => {
  const pages = new Pages();
  const row = (/** @type {number} */ n) => /** @type {any} */ ({ row: n });
  pages.add({ look: "a", start: 10, rows: [row(10), row(11)], x0: 0, x1: 50, whole: true });
  assert.equal(pages.gap("a", 10, 12, 5, 50), null);
  assert.equal(pages.gap("a", 10, 14, 5, 50), 12);
  assert.equal(pages.gap("a", 10, 12, 5, 51), 10);
  assert.equal(pages.gap("b", 10, 12, 5, 50), 10);
  pages.add({ look: "a", start: 12, rows: [row(12)], x0: 0, x1: 50, whole: false });
  assert.equal(pages.gap("a", 10, 13, 0, 50), 12, "letters alone are shown, and the rest still asked for");
  assert.equal(pages.row("a", 12)?.row, 12);
  assert.equal(pages.row("b", 12), null);
});

test("the setter is told only where something else decides", () => {
  const step = /** @type {const} */ ({ role: "winner", decides: true, value: "1", path: "p", at: "t", who: "evo2@n", did: "m +1 rows", gone: "" });
  assert.equal(setterText({ setter: "evo2@n at t0: m +1 rows", steps: [step] }), "");
  assert.equal(setterText({ setter: "evo2@n at t0: m +1 rows", steps: [{ ...step, did: "compacted m" }] }), "First set by evo2@n at t0: m +1 rows");
  assert.equal(setterText({ setter: "", steps: [step] }), "");
  assert.deepEqual([roleText(step), roleText({ ...step, role: "base" }), roleText({ ...step, role: "shadowed", decides: false })],
    ["decides", "the base decides", "was replaced"]);
});

test("what cannot be compared is said with its reason", () => {
  assert.deepEqual(changeLines({ k: "its files were rewritten (compact_overlay)" }),
    ["k: its values of then are not known, its files were rewritten (compact_overlay)."]);
});
