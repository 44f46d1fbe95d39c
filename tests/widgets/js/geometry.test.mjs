import assert from "node:assert/strict";
import { test } from "node:test";
import {
  complement, coordinateOf, extent, placed, positionAt, rulerLabel, scrollAxis, stack, ticks, windowFor, MAX_SCROLL,
} from "../../../usr_nb/widgets/js/sequences/geometry.js";
import { letterAt, textBetween } from "../../../usr_nb/widgets/js/sequences/record.js";

const ALIGNS = /** @type {const} */ (["start", "end", "feature", "column"]);

/** What the kernel sends for a window: analysis/sequences.py, in short.
 * @param {string} sequence @param {number} anchor @param {{ align: string, first: number, letters: number }} window */
function page(sequence, anchor, { align, first, letters }) {
  const at = align === "start" ? 0 : align === "end" ? sequence.length : anchor;
  const begin = Math.max(0, first + at);
  const end = Math.max(begin, Math.min(sequence.length, first + at + letters));
  return {
    row: 0, id: "x", name: null, bio_type: "dna", length: sequence.length, anchor: at, first: begin,
    letters: sequence.slice(begin, end), against: null, features: null, hits: null, track: null,
  };
}

/** @param {string} s */
const turnedRound = (s) => [...s].reverse().map((c) => complement(c, "dna")).join("");

test("positions and coordinates are each other's inverse", () => {
  for (const align of ALIGNS)
    for (const turned of [false, true])
      for (const anchor of [0, 3, 20])
        for (const x of [-9, 0, 4])
          assert.equal(coordinateOf({ anchor, length: 20 }, align, turned, positionAt({ anchor, length: 20 }, align, turned, x)), x);
});

test("a window holds the letters at its coordinates, both ways round", () => {
  const sequence = "AACCGGTTACGTTGCAAGTC";
  const back = turnedRound(sequence);
  for (const align of ALIGNS)
    for (const turned of [false, true])
      for (const [x0, x1] of /** @type {[number, number][]} */ ([[-30, 30], [-20, 0], [0, 8], [-4, 3], [5, 6]])) {
        const row = page(sequence, 7, windowFor(align, turned, x0, x1));
        if (turned && align === "start") row.anchor = sequence.length; // as the kernel says: aligned by the end
        if (turned && align === "end") row.anchor = 0;
        const read = turned ? back : sequence;
        // Where coordinate 0 is in what is read.
        const zero = align === "start" ? 0 : align === "end" ? sequence.length : turned ? sequence.length - 1 - 7 : 7;
        const wanted = read.slice(Math.max(0, zero + x0), Math.max(0, zero + x1));
        assert.equal(textBetween(row, align, turned, x0, x1), wanted, `${align} ${turned} ${x0} ${x1}`);
      }
});

test("a letter knows its position, the other sequence's letter and its value", () => {
  const row = { ...page("ACGT", 0, { align: "start", first: 0, letters: 4 }), against: "AC T", track: [1, 2, 3, 4] };
  assert.deepEqual(letterAt(row, "start", false, 1), { position: 1, letter: "C", other: "C", value: 2 });
  assert.equal(letterAt(row, "start", false, 4), null);
  assert.deepEqual(letterAt(row, "start", true, 0), { position: 3, letter: "A", other: "A", value: 4 });
});

test("complements keep case, know IUPAC letters, and leave the rest alone", () => {
  assert.equal([..."ACGTacgtRYN-*"].map((c) => complement(c, "dna")).join(""), "TGCAtgcaYRN-*");
  assert.equal([..."ACGU"].map((c) => complement(c, "rna")).join(""), "UGCA");
});

test("overlapping features lie in lanes, touching ones in one", () => {
  const f = (/** @type {number} */ start, /** @type {number} */ end) => ({ start, end, strand: 1, label: "" });
  assert.deepEqual(stack([f(0, 5), f(3, 8), f(5, 9), f(8, 10)]), { lanes: [0, 1, 0, 1], count: 2 });
  assert.deepEqual(stack([]), { lanes: [], count: 0 });
});

test("a feature turned round lies mirrored and points the other way", () => {
  const row = { anchor: 0, length: 10 };
  assert.deepEqual(placed({ start: 2, end: 5, strand: 1, label: "" }, row, "start", false), { from: 2, to: 5, way: 1 });
  assert.deepEqual(placed({ start: 2, end: 5, strand: 1, label: "" }, row, "start", true), { from: 5, to: 8, way: -1 });
});

test("the ruler counts from 1, and around an anchor without a zero", () => {
  assert.equal(rulerLabel("start", 0), "1");
  assert.equal(rulerLabel("start", 1999), "2,000");
  assert.equal(rulerLabel("feature", 0), "+1");
  assert.equal(rulerLabel("feature", -1), "−1");
  assert.equal(rulerLabel("end", -1), "−1");
});

test("ticks stand on round numbers as people count", () => {
  assert.deepEqual(ticks("start", 0, 35, 10).map((x) => rulerLabel("start", x)), ["1", "10", "20", "30"]);
  assert.deepEqual(ticks("feature", -25, 15, 10).map((x) => rulerLabel("feature", x)), ["−20", "−10", "+1", "+10"]);
  assert.deepEqual(ticks("end", -12, 5, 10).map((x) => rulerLabel("end", x)), ["−10"]);
});

test("a scroll bar reaches both ends, of a million rows too", () => {
  for (const units of [0, 5, 300, 1_000_000, 2e9]) {
    const axis = scrollAxis({ units, visible: 20, unit: 22, view: 440 });
    assert.ok(axis.size <= MAX_SCROLL);
    assert.equal(axis.toUnit(0), 0);
    assert.ok(Math.abs(axis.toUnit(axis.size - 440) - Math.max(0, units - 20)) < 1e-6);
    const middle = Math.max(0, units - 20) / 3;
    assert.ok(Math.abs(axis.toUnit(axis.toOffset(middle)) - middle) < 1e-3);
  }
  assert.deepEqual(extent("end", 50), [-50, 0]);
});
