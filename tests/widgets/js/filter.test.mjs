import assert from "node:assert/strict";
import { test } from "node:test";
import { barHeight, numberOf, placesOfRange, rangeOfBins, typedRange, zoomOf } from "../../../usr_nb/widgets/js/filter/brush.js";
import { chipKey, chipsOf, choiceOf, filterText, keyOf, noChoice, nodesOf, toggleLack, toggleValue, withChoice } from "../../../usr_nb/widgets/js/filter/nodes.js";
import { numberText, sharedText, timeText, typedText, valueText } from "../../../usr_nb/widgets/js/filter/format.js";
import { Past } from "../../../usr_nb/widgets/js/filter/past.js";

/** @typedef {import("../../../usr_nb/widgets/js/filter/nodes.js").Node} Node */
const LENGTH = { column: "length", path: [], reducer: null };
const GC = { computed: "gc" };
const TF = { column: "a__tf", path: [], reducer: null };
/** @type {import("../../../usr_nb/widgets/js/filter/brush.js").Bins} */
const BINS = { kind: "number", edges: [0, 10, 20, 30, 40], times: null, whole: false };
/** @param {any} feature @param {any} low @param {any} high @param {object} [more] @returns {Node} */
const range = (feature, low, high, more = {}) =>
  ({ kind: "range", feature, low, high, low_open: false, high_open: false, outside: false, ...more });

test("a brush is a range of bins; an end at the side of the view is none", () => {
  assert.deepEqual(rangeOfBins(GC, BINS, 3, 1), range(GC, 10, 30, { high_open: true }));
  assert.deepEqual(rangeOfBins(GC, BINS, 2, 4), range(GC, 20, null));
  assert.deepEqual(rangeOfBins(GC, BINS, -1, 2), range(GC, null, 20, { high_open: true }));
  assert.equal(rangeOfBins(GC, BINS, 0, 4), null);
  assert.equal(rangeOfBins(GC, BINS, 2, 2), null);
  assert.deepEqual(rangeOfBins(LENGTH, { ...BINS, whole: true }, 1, 3), range(LENGTH, 10, 29), "whole numbers end in one that is in");
});

test("times go as text, exactly", () => {
  const times = ["2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000001Z", "2026-01-03T00:00:00.000000Z"];
  const edges = times.map((time) => numberOf({ time }));
  assert.equal((edges[1] ?? 0) - (edges[0] ?? 0), 86400 * 1e6 + 1);
  /** @type {any} */
  const bins = { kind: "time", edges, times, whole: true };
  const found = rangeOfBins(TF, bins, 1, 2);
  assert.deepEqual(found?.low, { time: times[1] });
  assert.equal(found?.high, null);
});

test("a range stands where it was brushed, and where it was typed", () => {
  for (const bins of [BINS, { ...BINS, whole: true }]) {
    const brushed = rangeOfBins(GC, bins, 1, 3);
    assert.deepEqual(brushed && placesOfRange(bins, brushed), [1, 3]);
  }
  assert.deepEqual(placesOfRange(BINS, /** @type {any} */ (range(GC, 15, 1e9))), [1.5, 4]);
  assert.deepEqual(placesOfRange(BINS, /** @type {any} */ (range(GC, -5, { float: "inf" }))), [0, 4]);
});

test("what is typed", () => {
  const plain = { time: false, percent: false };
  assert.deepEqual(typedRange(LENGTH, "1,000", "", plain), range(LENGTH, 1000, null));
  assert.deepEqual(typedRange(GC, "41.7 %", "−1", { ...plain, percent: true }), range(GC, 0.417, -0.01));
  assert.deepEqual(typedRange(TF, "2026-01-31", " ", { time: true, percent: false }), range(TF, { time: "2026-01-31" }, null));
  assert.equal(typedRange(LENGTH, "", " ", plain), null);
  assert.throws(() => typedRange(LENGTH, "ten", "", plain), /“ten” is no number/);
});

test("one row is seen beside a million", () => {
  assert.deepEqual([barHeight(0, 10), barHeight(1, 1e6), barHeight(5, 10), barHeight(0, 0)], [0, 2, 50, 0]);
  assert.deepEqual([zoomOf(100, 100), zoomOf(100, 11), zoomOf(100, 10), zoomOf(1e6, 7), zoomOf(5, 0)], [1, 1, 10, 100000, 1]);
});

test("controls say a choice as chips, and read it back", () => {
  const lexA = { kind: /** @type {const} */ ("in"), feature: TF, values: ["lexA"] };
  let choice = toggleValue(noChoice(), "lexA", false);
  assert.deepEqual(nodesOf(TF, choice), [lexA]);
  choice = toggleLack(choice, "null", false);
  assert.deepEqual(nodesOf(TF, choice), [{ kind: "or", of: [lexA, { kind: "null", feature: TF }] }]);
  choice = toggleValue(choice, "cpxR", true);
  const chips = nodesOf(TF, choice);
  assert.deepEqual(chips[1], { kind: "not", of: { kind: "in", feature: TF, values: ["cpxR"] } });
  assert.deepEqual(choiceOf(chips, keyOf(TF)), { choice, others: [] });
  assert.deepEqual(toggleValue(choice, "lexA", true).values, [], "kept out, it is no longer let in");
  assert.deepEqual(toggleValue(choice, "cpxR", true).without, [], "the same again takes it back");
  assert.deepEqual(toggleLack(choice, "null", true), { ...choice, lacks: [], notLacks: ["null"] });
});

test("another choice takes the place of the old one and leaves the rest", () => {
  const text = /** @type {Node} */ ({ kind: "text", feature: TF, how: "contains", text: "x", case: true });
  const old = [range(GC, 0.4, 0.6), ...nodesOf(TF, toggleValue(noChoice(), "lexA", false)), text, range(LENGTH, 1, 2)];
  const found = withChoice(old, TF, toggleValue(noChoice(), "cpxR", true));
  assert.deepEqual(found.map((c) => c.kind), ["range", "not", "text", "range"]);
  assert.deepEqual(withChoice(old, TF, noChoice()).map((c) => c.kind), ["range", "text", "range"]);
  assert.deepEqual(withChoice([], TF, toggleLack(noChoice(), "null", true)).length, 1);
});

test("what controls cannot say stays as a chip of its own", () => {
  const two = [range(GC, 0, 1), range(GC, 2, 3)];
  const { choice, others } = choiceOf(two, keyOf(GC));
  assert.deepEqual([choice.range, others], [two[0], [two[1]]]);
  const mixed = /** @type {Node} */ ({ kind: "or", of: [range(GC, 0, 1), range(LENGTH, 2, 3)] });
  assert.equal(chipKey(mixed), null);
  assert.deepEqual(withChoice([mixed], GC, noChoice()), [mixed]);
});

test("a filter and its chips", () => {
  assert.deepEqual(chipsOf(filterText([])), []);
  for (const chips of [[range(GC, 0, 1)], [range(GC, 0, 1), range(LENGTH, 2, 3)]])
    assert.deepEqual(chipsOf(filterText(chips)), chips);
});

test("undo and redo", () => {
  const state = (/** @type {Node[]} */ ...chips) => ({ chips, deleted: false });
  const past = new Past(state());
  assert.equal(past.go(state()), false, "nothing changed");
  assert.equal(past.go(state(range(GC, 0, 1))), true);
  assert.equal(past.go(state(range(GC, 0, 2))), true);
  assert.equal(past.undo(), true);
  assert.deepEqual(past.now, state(range(GC, 0, 1)));
  assert.equal(past.redo(), true);
  assert.equal(past.redo(), false);
  past.undo();
  past.go(state());
  assert.equal(past.after.length, 0, "who goes another way cannot go on the old one");
  past.undo();
  past.undo();
  assert.equal(past.undo(), false);
});

test("numbers of a section", () => {
  const gc = { kind: "number", percent: true, whole: false };
  assert.deepEqual([numberText(0.4167, gc), numberText(0.5, gc)], ["41.7 %", "50 %"]);
  assert.equal(numberText(12345, { kind: "number", percent: false, whole: true }), "12,345");
  assert.equal(numberText(0.123456, { kind: "number", percent: false, whole: false }), "0.1235");
  assert.equal(numberText(86400e6, { kind: "time", percent: false, whole: true }), "1970-01-02");
  assert.equal(timeText(1e6), "1970-01-01 00:00:01");
  assert.equal(sharedText(12345, 20000), "12,345 of 20,000 (61.7 %)");
  assert.equal(sharedText(0, 0), "0 of 0");
  assert.equal(valueText(""), "“” (empty)");
  assert.deepEqual([typedText(0.417, true), typedText({ time: "2026-01-31T00:00:00.000000Z" }, false), typedText(null, true)], ["41.7", "2026-01-31", ""]);
});
