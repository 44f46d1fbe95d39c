/** What the panel *describe* says: numbers, ranges, order, paths. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as words from "../../../usr_nb/widgets/js/describe/words.js";
import { formatted } from "../../../usr_nb/widgets/js/lib/numbers.js";

/** @param {object} more */
const numbers = (more) => ({ count: 4, nan: 0, infinite: 0, min: 1, mean: 2.5, max: 4, ...more });

test("formats are Python's", () => {
  // Each as Python prints it.
  const cases = /** @type {[number, string, string][]} */ ([
    [3.14159, ".3f", "3.142"], [1234567, ",d", "1,234,567"], [0.456, ".1%", "45.6%"], [12345.678, ",.2f", "12,345.68"],
    [0.000012345, ".2e", "1.23e-05"], [2, "+.1f", "+2.0"], [-1.5, "+.1f", "-1.5"], [1234567, ".4g", "1.235e+06"], [0.0001, ".3g", "0.0001"],
    [0.00001, "g", "1e-05"], [100000, ".6g", "100000"], [2.5, "g", "2.5"], [1e100, ".0e", "1e+100"], [-1234.5, ",.1f", "-1,234.5"],
  ]);
  for (const [x, format, said] of cases) assert.equal(formatted(x, format), said, `${x} ${format}`);
  assert.equal(formatted(2, "no format"), "2");
});

test("null, empty, NaN and infinite are four things", () => {
  assert.deepEqual([null, "", "NaN", "inf", "-inf", 0, "x"].map((v) => words.valueText(v)), ["–", '""', "NaN", "∞", "−∞", "0", "x"]);
  assert.equal(words.valueText("2026-01-02T03:04:05.000006Z"), "2026-01-02 03:04:05");
});

test("nulls are never rounded to none or all", () => {
  assert.deepEqual([0, 0.01, 33.333, 99.99, 100].map(words.nullText), ["0 %", "< 0.1 %", "33.3 %", "> 99.9 %", "100 %"]);
});

test("a range has unit and mean, one value stands alone", () => {
  assert.equal(words.rangeText(numbers({}), { unit: "nt" }), "1 to 4 nt, mean 2.5");
  assert.equal(words.rangeText(numbers({ min: 2, max: 2 }), {}), "2");
  assert.equal(words.rangeText(numbers({ count: 0, min: null, nan: 3 })), "NaN only");
  assert.equal(words.rangeText(numbers({}), { format: ".2f" }), "1.00 to 4.00, mean 2.50");
});

test("vectors are named by their length", () => {
  assert.equal(words.typeText("fixed_size_list<float32>[512]"), "vec[512]");
  const stats = { rows: 2, nulls: 0, means: [1, 2], lengths: numbers({ min: 2, max: 2 }) };
  assert.equal(words.typeText("list<float32>", stats), "vec[2]");
  assert.equal(words.typeText("list<float32>", { rows: 2, nulls: 0 }), "list<float32>");
  assert.equal(words.typeText("timestamp[us, UTC]"), "time");
});

test("the line of a column says what it is", () => {
  assert.equal(words.lineText({ rows: 4, nulls: 4 }, {}), "null only");
  assert.equal(words.lineText({ rows: 0, nulls: 0 }, {}), "no record");
  assert.equal(words.lineText({ rows: 5, nulls: 1, numbers: numbers({ nan: 2 }) }, {}), "1 to 4, mean 2.5, 2 NaN");
  const top = /** @type {[string, number][]} */ ([["b", 2], ["a", 1]]);
  assert.equal(words.lineText({ rows: 4, nulls: 0, words: { distinct: 3, exact: true, top } }, {}), "3 different: b 50.0 % · a 25.0 %");
  assert.equal(words.lineText({ rows: 4, nulls: 0, words: { distinct: 2e6, exact: false, top: [] } }, {}), "about 2,000,000 different");
});

test("the difference is that of the means", () => {
  const of = (/** @type {number} */ mean) => ({ rows: 1, nulls: 0, numbers: numbers({ mean }) });
  assert.equal(words.differenceText(of(2), of(2.5), {}), "mean +0.5");
  assert.equal(words.differenceText(of(2), of(1), { format: ".1f" }), "mean −1.0");
  assert.equal(words.differenceText({ rows: 1, nulls: 0 }, of(1), {}), "");
});

test("search looks for every word, order keeps equals", () => {
  const entry = (/** @type {string} */ name, /** @type {number} */ nulls, more = {}) =>
    ({ name, namespace: name.includes("__") ? name.split("__")[0] ?? "" : "", type: "float64", label: "", unit: "", nulls, nulls_kept: null, ...more });
  const entries = [entry("z__b", 5), entry("id", 0, { type: "string" }), entry("a__x", 5, { label: "Evo score", unit: "nats" })];
  assert.deepEqual(words.fitting(entries, " EVO nats "), [2]);
  assert.deepEqual(words.fitting(entries, "float"), [0, 2]);
  assert.deepEqual(words.ordered(entries, [0, 1, 2], "nulls"), [0, 2, 1]);
  assert.deepEqual(words.ordered(entries, [0, 1, 2], "name"), [2, 1, 0]);
  assert.deepEqual(words.byNamespace(entries, [0, 1, 2]), [["", [1]], ["a", [2]], ["z", [0]]]);
});

test("a bin has its two ends, of numbers and of times", () => {
  const found = { from: 0, to: 1, counts: [1, 2, 3, 4] };
  assert.deepEqual(words.binEnds(found, 1), [0.25, 0.5]);
  assert.equal(words.binText(found, { ...found, counts: [0, 1, 0, 0] }, 1, { unit: "nt" }), "0.25 ≤ x < 0.5 nt: 1 of 2");
  const times = { from: "2026-01-01T00:00:00.000000Z", to: "2026-01-03T00:00:00.000000Z", counts: [1, 1] };
  assert.deepEqual(words.binEnds(times, 0), ["2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000Z"]);
});

test("bars are as tall as their counts, and one is never invisible", () => {
  assert.equal(words.barsPath([0, 5, 10], 10, 30, 20), "M10 20v-10h9V20zM20 20v-20h9V20z");
  assert.match(words.barsPath([1], 1e6, 10, 20), /v-1h/);
  assert.equal(words.barsPath([], 0, 10, 10), "");
});

test("a line breaks where there is no value", () => {
  assert.equal(words.linePath([0, null, 1], 10, 12), "M0 11M10 1");
  assert.equal(words.linePath([2, 2], 10, 12), "M0 6L10 6");
  assert.equal(words.linePath([null], 10, 12), "");
});

test("ages are rounded", () => {
  const now = Date.parse("2026-01-10T00:00:00Z");
  assert.equal(words.ago("2026-01-07T01:00:00.000000Z", now), "3 d ago");
  assert.equal(words.ago("2026-01-09T23:59:30Z", now), "30 s ago");
  assert.equal(words.ago(null, now), "");
});
